package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/hub/api"
	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/wait"
)

// watch prints the present objects, then each change, until it is interrupted. If the hub goes away after it has sent
// the present objects, watch waits for it.
func watch(cmd *cobra.Command, client adminv1.AdminServiceClient, kind api.Kind, request *adminv1.WatchRequest,
	p *printer) error {
	p.stable = true
	w := &changePrinter{printer: p, progress: newProgress(cmd), errOut: cmd.ErrOrStderr(), kind: kind}
	defer w.progress.endHubGone()
	again := afterHubGone()
	for {
		err := w.read(cmd.Context(), client, request, &again)
		switch {
		case errors.Is(err, io.EOF), cmd.Context().Err() != nil:
			return nil
		case !w.synced || !mayComeBack(err):
			return err
		}
		w.progress.showHubGone(err)
		if again.Pause(cmd.Context()) != nil {
			return nil
		}
		w.lost()
	}
}

// afterHubGone returns the pauses of a command that goes on when a hub that went away is back.
func afterHubGone() wait.Backoff {
	return wait.Backoff{First: eventsPause, Most: 10 * time.Second, Spread: 0.5}
}

// mayComeBack reports whether a call failed because the hub went away, or because it did not answer in time.
func mayComeBack(err error) bool { return isAway(err) || status.Code(err) == codes.DeadlineExceeded }

// changePrinter prints the objects of a watch. In a table, all rows have the columns of the objects that there were at
// first, so that later ones are below their headings.
type changePrinter struct {
	*printer
	progress *progress
	errOut   io.Writer
	kind     api.Kind
	first    []row // until all of them are known
	synced   bool
	// sent are the objects that the watch has sent, by the digest of their JSON. missing are those of the watches before,
	// which this one has not sent yet.
	sent, missing map[api.Key]manifest.Digest
}

// read prints what one watch sends.
func (w *changePrinter) read(ctx context.Context, client adminv1.AdminServiceClient, request *adminv1.WatchRequest,
	again *wait.Backoff) error {
	stream, err := client.Watch(ctx, request)
	if err != nil {
		return err
	}
	for {
		change, err := stream.Recv()
		if err != nil {
			return err
		}
		again.Reset()
		w.progress.endHubGone()
		if err := w.printChange(change); err != nil {
			return err
		}
	}
}

// lost notes that the watch ended, and that the next one begins with all objects.
func (w *changePrinter) lost() {
	if w.missing == nil {
		w.missing = map[api.Key]manifest.Digest{}
	}
	maps.Copy(w.missing, w.sent)
	clear(w.sent)
}

// isKnown notes an object that the watch sent, and reports whether a watch before has sent the same.
func (w *changePrinter) isKnown(o *adminv1.Object) bool {
	if w.sent == nil {
		w.sent = map[api.Key]manifest.Digest{}
	}
	key, digest := keyOf(o.GetKey()), manifest.DigestOf(o.GetJson())
	before, known := w.missing[key]
	delete(w.missing, key)
	w.sent[key] = digest
	return known && before == digest
}

func (w *changePrinter) printChange(change *adminv1.WatchResponse) error {
	switch {
	case change.GetType() == adminv1.WatchType_WATCH_TYPE_SYNCED:
		return w.printFirst()
	case change.GetType() == adminv1.WatchType_WATCH_TYPE_DELETED: // only the key is sent
		w.printDeleted(keyOf(change.GetObject().GetKey()))
		return nil
	case w.isKnown(change.GetObject()):
		return nil
	}
	rows, err := decodeRows([]*adminv1.Object{change.GetObject()}, "")
	switch {
	case err != nil:
		return err
	case w.isForPeople() && !w.synced:
		w.first = append(w.first, rows...)
		return nil
	}
	l := printoutOf(w.kind, rows, w.isWide())
	l.value = rows[0].object
	return w.print(l)
}

// printFirst is called when the watch has sent all objects that there are. It prints the table of the first ones, or
// the objects that were deleted between two watches.
func (w *changePrinter) printFirst() error {
	for _, key := range slices.SortedFunc(maps.Keys(w.missing), api.Key.Compare) {
		w.printDeleted(key)
	}
	if w.synced || len(w.first) == 0 {
		w.synced = true
		return nil
	}
	w.synced = true
	return w.print(printoutOf(w.kind, w.first, w.isWide()))
}

func (w *changePrinter) printDeleted(key api.Key) {
	delete(w.sent, key)
	delete(w.missing, key)
	w.first = slices.DeleteFunc(w.first, func(r row) bool { return keyOf(r.key) == key })
	out := w.out
	if !w.isForPeople() && w.format != "name" { // a program reads objects only
		out = w.errOut
	}
	fmt.Fprintf(out, "%s deleted\n", oneLine(key.String()))
}
