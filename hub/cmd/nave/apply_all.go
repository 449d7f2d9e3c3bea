package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
)

const (
	// maxPart is how many bytes of manifests one request has, and one object may have. The rest of a request are the names
	// of files.
	maxPart    = maxRequest - 16<<10
	fileMargin = 64 // bytes of a file in a request, besides its name and data

	// maxDeleted is how many keys one request to delete has.
	maxDeleted = 1_000
)

// applyRequests returns the requests that apply files: one, if the hub reads all at once, or else several, of whole
// documents and items of Lists. If the hub would not read an object, the error names it.
func applyRequests(files []api.File) (requests []*adminv1.ApplyAllRequest, err error) {
	total := 0
	for _, f := range files {
		total += sizeOf(f)
	}
	if total > maxPart {
		if files, err = divide(files); err != nil {
			return nil, err
		}
	}
	begin, size := 0, 0
	add := func(end int) {
		r := &adminv1.ApplyAllRequest{}
		r.Manifest, r.Files = joinFiles(files[begin:end])
		requests = append(requests, r)
		begin, size = end, 0
	}
	for i, f := range files {
		if n := sizeOf(f); size > 0 && size+n > maxPart {
			add(i)
		}
		size += sizeOf(f)
	}
	add(len(files))
	return requests, nil
}

// sizeOf returns how many bytes of a request a file has.
func sizeOf(f api.File) int { return len(f.Data) + len(f.Name) + fileMargin }

// divide divides files into documents, and a List that is too large into its items. The error names all objects that
// are too large.
func divide(files []api.File) (all []api.File, err error) {
	var errs []error
	for _, f := range files {
		for _, part := range manifest.Split(f.Data) {
			file := api.File{Name: f.Name, Data: part.Data, Start: part.Start}
			if sizeOf(file) <= maxPart {
				all = append(all, file)
				continue
			}
			items, err := itemsOf(file)
			all, errs = append(all, items...), append(errs, err)
		}
	}
	return all, joined(errs)
}

// itemsOf returns the objects of a document as files of their own, each with the line of the object.
func itemsOf(document api.File) (items []api.File, err error) {
	objects, wrong := manifest.ParsePart(manifest.Part{Data: document.Data, Start: document.Start})
	var errs []error
	for _, w := range wrong {
		errs = append(errs, errors.New(w.In(document.Name)))
	}
	for _, o := range objects {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // which makes six bytes of one
		if err := e.Encode(o.Object); err != nil {
			return nil, err
		}
		data := b.Bytes()
		start := manifest.Start{Documents: o.Document - 1, Lines: o.Line("") - 1}
		item := api.File{Name: document.Name, Data: data, Start: start}
		if sizeOf(item) > maxPart {
			errs = append(errs, fmt.Errorf("%s: %s has %d KiB: the hub reads objects of at most %d KiB",
				manifest.At(document.Name, o.Document, o.Line("")), manifest.IDOf(o.Object), len(data)>>10, maxPart>>10))
		}
		items = append(items, item)
	}
	return items, joined(errs)
}

// applyAll applies the objects of several requests, all or none, if the operator agrees to the objects that this
// removes.
func applyAll(cmd *cobra.Command, client adminv1.AdminServiceClient, requests []*adminv1.ApplyAllRequest, dryRun bool,
	agreed agreement) error {
	first := requests[0]
	first.DryRun = true
	answer, err := sendAll(cmd.Context(), client.ApplyAll, requests)
	if err != nil {
		return err
	}
	change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_Apply{}}
	if dryRun {
		agreed.announce(cmd, answer.GetImpact(), change)
	} else {
		if err := agreed.toImpact(cmd, answer.GetImpact(), change); err != nil {
			return err
		}
		first.DryRun, first.Confirmed, first.Digest = false, true, agreed.seen(answer.GetImpact())
		if answer, err = sendAll(cmd.Context(), client.ApplyAll, requests); err != nil {
			return err
		}
	}
	printApplied(cmd.OutOrStdout(), answer.GetObjects(), dryRun)
	return nil
}

// sendAll sends requests in one call.
func sendAll[In, Out any](ctx context.Context,
	call func(context.Context, ...grpc.CallOption) (grpc.ClientStreamingClient[In, Out], error), requests []*In) (
	*Out, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := call(ctx)
	if err != nil {
		return nil, err
	}
	for _, r := range requests {
		if stream.Send(r) != nil {
			break // CloseAndRecv knows why
		}
	}
	return stream.CloseAndRecv()
}

// deletionOf returns the requests that delete objects.
func deletionOf(keys []*adminv1.ObjectKey) (requests []*adminv1.DeleteAllRequest) {
	for chunk := range slices.Chunk(keys, maxDeleted) {
		requests = append(requests, &adminv1.DeleteAllRequest{Keys: chunk})
	}
	return requests
}

// many deletes more objects than one request names, all or none. It returns those that it deleted, and those that do
// not exist.
func (d *deletion) many(cmd *cobra.Command, client adminv1.AdminServiceClient, named []*adminv1.ObjectKey) (keys,
	missing []*adminv1.ObjectKey, err error) {
	requests := deletionOf(named)
	requests[0].DryRun = true
	answer, err := sendAll(cmd.Context(), client.DeleteAll, requests)
	if err != nil {
		return nil, nil, err
	}
	isMissing := map[api.Key]bool{}
	for _, key := range answer.GetMissing() {
		isMissing[keyOf(key)] = true
	}
	keys = slices.DeleteFunc(slices.Clone(named), func(key *adminv1.ObjectKey) bool { return isMissing[keyOf(key)] })
	if len(keys) == 0 {
		return nil, answer.GetMissing(), nil
	}
	change := &adminv1.ImpactRequest{Change: &adminv1.ImpactRequest_DeleteAll{DeleteAll: &adminv1.ObjectKeys{Keys: keys}}}
	if err := d.agreed.toImpact(cmd, answer.GetImpact(), change); err != nil {
		return nil, nil, err
	}
	requests = deletionOf(keys)
	requests[0].Confirmed, requests[0].Digest = true, d.agreed.seen(answer.GetImpact())
	_, err = sendAll(cmd.Context(), client.DeleteAll, requests)
	return keys, answer.GetMissing(), err
}
