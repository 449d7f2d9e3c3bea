package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/shared/reporting"
)

// What a dry run says about an object, beside added and changed.
const (
	recreated verb = "deleted and created again"
	refused   verb = "refused"
	unlisted  verb = "with more changes" // of an Application
)

// liveTime is how long one question may take. The hub gives it up after a minute.
const liveTime = 90 * time.Second

// maxAsked is the number of clusters that are asked at a time: half of what the hub allows, for the sake of others.
const maxAsked = 4

// maxPiece is the number of bytes of a message with content.
const maxPiece = 256 << 10

// askSpokes asks the spokes of all clusters about the Applications that differ. Their answers take the place of the
// differences of the objects. The differences stay for a cluster that does not answer within a time.
func (c *comparison) askSpokes(ctx context.Context, within time.Duration) error {
	c.within, c.rendered = min(within, liveTime), map[change][]string{}
	maps.DeleteFunc(c.changes, func(x change, clusters []string) bool { // a spoke says nothing about parts of charts
		differs := x.object.isObject() && (x.verb == added || x.verb == changed) && x.object.part == "" || x.verb == same
		if differs {
			c.rendered[x] = clusters
		}
		return differs
	})
	asked := map[string][]*pairDiff{} // by cluster
	for _, d := range c.pairs {
		if d.new == nil {
			continue
		}
		d.findLacking()
		for _, cluster := range d.clusters {
			asked[cluster] = append(asked[cluster], d)
		}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(maxAsked)
	for cluster, pairs := range asked {
		slices.SortFunc(pairs, func(a, b *pairDiff) int {
			return cmp.Or(a.new.Application.Name.Compare(b.new.Application.Name), strings.Compare(a.held, b.held))
		})
		group.Go(func() error { return c.askCluster(ctx, cluster, pairs) })
	}
	return group.Wait()
}

// askCluster asks one spoke, in as many questions as the limits of one make necessary.
func (c *comparison) askCluster(ctx context.Context, cluster string, pairs []*pairDiff) error {
	pairs = c.requireContent(cluster, pairs)
	for len(pairs) > 0 {
		count, size, objects := 0, 0, 0
		for i, d := range pairs[:min(len(pairs), bundle.MaxPreviewApplications)] {
			size, objects = size+d.size, objects+1+len(d.lacking)
			again := i > 0 && d.new.Application.Name == pairs[i-1].new.Application.Name // partly held
			if again || count > 0 && (size > bundle.MaxPreviewBytes || objects > bundle.MaxPreviewObjects) {
				break
			}
			count++
		}
		found, err := askLive(ctx, c, cluster, pairs[:count])
		if isTooOld(err) {
			return errTooOld("--live")
		}
		switch status.Code(err) {
		case codes.OK:
			c.addLive(cluster, pairs[:count], found)
		case codes.Unavailable, codes.FailedPrecondition, codes.DeadlineExceeded, codes.Aborted, codes.ResourceExhausted,
			codes.InvalidArgument:
			text := message(err)
			if status.Code(err) == codes.DeadlineExceeded {
				text = fmt.Sprintf("the spoke did not answer within %s", c.within)
			}
			c.mu.Lock()
			for _, d := range pairs[:count] {
				c.notAsked(text, cluster, d.new.Application.Name.String())
			}
			c.mu.Unlock()
		default:
			return fmt.Errorf("ask cluster %s: %w", cluster, err)
		}
		pairs = pairs[count:]
	}
	return nil
}

// requireContent returns the pairs whose content can be sent. The spoke is not asked about the others.
func (c *comparison) requireContent(cluster string, pairs []*pairDiff) (complete []*pairDiff) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range pairs {
		name := d.new.Application.Name
		at := slices.IndexFunc(d.lacking, func(digest manifest.Digest) bool {
			_, ok := d.new.Object(digest)
			return !ok
		})
		if at < 0 {
			complete = append(complete, d)
			continue
		}
		c.notAsked(fmt.Sprintf("%s: neither the checkout nor the hub has the content of %s", name,
			nameOf(d.new.Application, d.lacking[at])), cluster, name.String())
	}
	return complete
}

// notAsked notes why the spoke of a cluster did not answer about an Application, and restores the differences of its
// objects. The caller holds c.mu.
func (c *comparison) notAsked(reason, cluster, application string) {
	c.unasked[reason] = append(c.unasked[reason], cluster)
	for x, clusters := range c.rendered {
		if x.application == application && slices.Contains(clusters, cluster) {
			c.add(x, cluster)
		}
	}
}

// findLacking finds what is sent for a question.
func (d *pairDiff) findLacking() {
	had := map[manifest.Digest]bool{}
	for _, digest := range d.released.Digests() {
		had[digest] = true
	}
	d.lacking, d.size = nil, len(d.new.Data)
	for _, digest := range d.new.Application.Digests() {
		if had[digest] {
			continue
		}
		data, _ := d.new.Object(digest)
		d.lacking, d.size = append(d.lacking, digest), d.size+len(data)
	}
}

// askLive asks the spoke of a cluster what Applications would change.
func askLive(ctx context.Context, c *comparison, cluster string, pairs []*pairDiff) (
	[]*adminv1.PreviewedApplication, error) {
	ctx, cancel := context.WithTimeout(ctx, c.within)
	defer cancel()
	stream, err := c.client.PreviewLive(ctx)
	if err != nil {
		return nil, err
	}
	send := func(data []byte, application bool) error {
		for last := false; !last; {
			piece := data[:min(len(data), maxPiece)]
			data = data[len(piece):]
			last = len(data) == 0
			err := stream.Send(&adminv1.PreviewLiveRequest{Cluster: cluster, Data: piece, Last: last, Application: application})
			if err != nil {
				return err // CloseAndRecv knows why
			}
		}
		return nil
	}
	for _, d := range pairs {
		failed := send(d.new.Data, true)
		for _, digest := range d.lacking {
			data, _ := d.new.Object(digest) // requireContent found it
			failed = cmp.Or(failed, send(data, false))
		}
		if failed != nil {
			break
		}
	}
	response, err := stream.CloseAndRecv()
	return response.GetApplications(), err
}

// nameOf returns the name of an object or an encrypted file of an Application.
func nameOf(app *bundle.Application, digest manifest.Digest) string {
	for _, o := range inOrder(app) {
		if o.Digest == digest {
			return o.ID().String()
		}
	}
	for _, f := range app.SealedFiles {
		if f.Digest == digest {
			return "the encrypted file " + f.Path
		}
	}
	return digest.String()
}

// addLive adds the answer of a cluster.
func (c *comparison) addLive(cluster string, pairs []*pairDiff, found []*adminv1.PreviewedApplication) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, a := range found {
		name := keyOf(a.GetKey()).Application()
		at := slices.IndexFunc(pairs, func(d *pairDiff) bool { return d.new.Application.Name == name })
		if at < 0 {
			continue // it was not asked about
		}
		if a.GetError() != "" {
			c.notAsked(name.String()+": "+a.GetError(), cluster, name.String())
		}
		for _, o := range a.GetObjects() {
			x := liveChange(name.String(), o, pairs[at].files)
			x.held = pairs[at].held
			c.add(x, cluster)
			if x.verb == refused {
				text := x.application + ": " + x.object.String() + ": " + cmp.Or(oneLine(o.GetMessage()), "refused")
				c.refusals[text] = append(c.refusals[text], cluster)
			}
		}
		if a.GetMore() > 0 {
			c.add(change{application: name.String(), verb: unlisted, held: pairs[at].held, text: fmt.Sprintf("%d more objects "+
				"change: without --live all are listed", a.GetMore())}, cluster)
		}
	}
}

// objectIn returns the object with a name that a spoke gives, in which long names are cut: that of the files, if they
// have it.
func objectIn(files map[pieceID]change, name string) pieceID {
	for id := range files {
		if id.part == "" && id.ID.String() == name {
			return id
		}
	}
	return pieceID{"", idOf(name)}
}

// liveChange returns what a spoke says about an object. files are the changes of the files, by object.
func liveChange(application string, o *adminv1.PreviewedObject, files map[pieceID]change) change {
	x := change{application: application, object: objectIn(files, o.GetObject())}
	var text strings.Builder
	switch o.GetAction() {
	case reporting.Created:
		x.verb = added
		text.WriteString(files[x.object].text)
	case reporting.Configured:
		x.verb = changed
	case reporting.Recreated:
		x.verb = recreated
		text.WriteString(files[x.object].text)
	default:
		x.verb = refused
	}
	for _, f := range o.GetFields() {
		fmt.Fprintf(&text, "@@ %s @@\n%s%s", f.GetPath(), marked("-", f.GetBefore(), hiddenBefore),
			marked("+", f.GetAfter(), hiddenAfter))
	}
	if o.GetMore() > 0 {
		fmt.Fprintf(&text, "\\ %d more fields change\n", o.GetMore())
	}
	switch {
	case o.GetMessage() != "" && x.verb == refused:
		fmt.Fprintf(&text, "\\ %s\n", o.GetMessage())
	case o.GetMessage() != "":
		fmt.Fprintf(&text, "\\ the API server could not check it: %s\n", o.GetMessage())
	}
	x.text = text.String()
	return x
}

// marked returns the lines of a value in JSON as YAML, each after a mark; "" for no value. hidden stands for a masked
// value. YAML shows no control characters.
func marked(mark, value, hidden string) string {
	text := value // if it was cut, it is no JSON any more
	var decoded any
	switch {
	case value == "":
		return ""
	case value == `"`+reporting.Mask+`"`:
		text = hidden
	case json.Unmarshal([]byte(value), &decoded) == nil:
		if encoded, err := yamlText(decoded); err == nil {
			text = strings.TrimSuffix(encoded, "\n")
		}
	}
	return mark + strings.ReplaceAll(text, "\n", "\n"+mark) + "\n"
}
