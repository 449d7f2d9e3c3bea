package git

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/sideband"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// Target is a reference that a push sets.
type Target struct {
	Reference string // its full name, such as refs/heads/main
	Old       string // the commit that it must be at; empty: it must not exist, or is one that only takes pushes
}

// Push is a commit, the references that become it, and the options for the hooks of the server.
type Push struct {
	Commit  Commit // the last one that the Editor made
	Targets []Target
	Options map[string]string // an option without a value is sent as its name alone
}

// Push sends a commit. The server sets all of the references or none, each only if it is where the Target says: if
// somebody moved one, the error is source.ErrMoved. If the server declines, the error is source.ErrRejected and quotes
// the server. A commit that the GitRepository would refuse to read is ErrCommitSignature. If the answer is lost, Push
// looks whether the server has set the references.
func (e *Editor) Push(ctx context.Context, p Push) error {
	if err := e.Check(p); err != nil {
		return err
	}
	err := e.send(ctx, p, e.made)
	if err == nil || ctx.Err() != nil {
		return err
	}
	now, lookErr := e.look(ctx)
	if lookErr != nil {
		return fmt.Errorf("%w (it is not known whether the commit arrived: %w)", err, source.Classify(lookErr, classify))
	}
	done := true
	for _, t := range p.Targets {
		at := ""
		if c, ok := lookup(now, t.Reference); ok {
			at = c.want.String()
		}
		if at != t.Old && at != p.Commit.ID {
			return fmt.Errorf("%w: %s is now at %s", source.ErrMoved, t.Reference, cmp.Or(at, "nothing: it was deleted"))
		}
		done = done && at == p.Commit.ID
	}
	if done {
		return nil
	}
	return err
}

// look reads the references of the server.
func (e *Editor) look(ctx context.Context) (*packp.AdvRefs, error) {
	s, err := open(ctx, e.fetching, uploadPack)
	if err != nil {
		return nil, err
	}
	defer s.close()
	return s.advertise(ctx)
}

// Delete removes a reference, if it is where the Target says. If the server declines, the error is source.ErrRejected.
func (e *Editor) Delete(ctx context.Context, t Target) error {
	return e.send(ctx, Push{Commit: Commit{ID: plumbing.ZeroHash.String()}, Targets: []Target{t}}, nil)
}

// send carries out a push of objects.
func (e *Editor) send(ctx context.Context, p Push, objects []object) error {
	s, err := open(ctx, e.fetching, receivePack)
	if err != nil {
		return err
	}
	defer s.close()
	refs, err := s.advertise(ctx)
	if err != nil {
		return err
	}
	request, err := newUpdate(refs.Capabilities, p, objects)
	if err != nil {
		return err
	}
	answer, err := s.ask(ctx, request)
	if err != nil {
		return err
	}
	defer answer.Close()
	return request.result(answer)
}

// update is the request of a push.
type update struct {
	Push
	capabilities *capability.List
	pack         []byte
}

func newUpdate(server *capability.List, p Push, objects []object) (*update, error) {
	u := &update{Push: p, capabilities: capability.NewList()}
	supported := func(c capability.Capability, values ...string) bool {
		return server.Supports(c) && u.capabilities.Set(c, values...) == nil
	}
	if !supported(capability.ReportStatus) {
		return nil, fmt.Errorf("%w: the server does not report what becomes of a push", source.ErrProtocol)
	}
	if len(p.Targets) > 1 && !supported(capability.Atomic) {
		return nil, fmt.Errorf("%w: the server cannot set two references at once: name a branch or a refspec to push to, "+
			"not both", source.ErrRejected)
	}
	if len(p.Options) > 0 && !supported(capability.PushOptions) {
		return nil, fmt.Errorf("%w: the server takes no push options: remove them, or let it take them "+
			"(git config receive.advertisePushOptions true)", source.ErrRejected)
	}
	supported(capability.Sideband64k)
	supported(capability.Agent, userAgent)
	if p.Commit.ID == plumbing.ZeroHash.String() { // a deletion comes without a pack
		if !supported(capability.DeleteRefs) {
			return nil, fmt.Errorf("%w: the server deletes no references", source.ErrRejected)
		}
		return u, nil
	}
	var err error
	u.pack, err = encodePack(objects)
	return u, err
}

// write implements request.
func (u *update) write(w io.Writer, _ bool) error {
	e := pktline.NewEncoder(w)
	for i, t := range u.Targets {
		line := fmt.Sprintf("%s %s %s", cmp.Or(t.Old, plumbing.ZeroHash.String()), u.Commit.ID, t.Reference)
		if i == 0 {
			line += "\x00" + u.capabilities.String()
		}
		if err := e.EncodeString(line); err != nil {
			return err
		}
	}
	if err := e.Flush(); err != nil {
		return err
	}
	if len(u.Options) > 0 {
		for _, name := range slices.Sorted(maps.Keys(u.Options)) {
			if err := e.EncodeString(optionOf(name, u.Options[name])); err != nil {
				return err
			}
		}
		if err := e.Flush(); err != nil {
			return err
		}
	}
	_, err := w.Write(u.pack)
	return err
}

func optionOf(name, value string) string {
	if value == "" {
		return name
	}
	return name + "=" + value
}

// maxReport limits the bytes of what a server says about a push.
const maxReport = 1 << 20

// result reads what became of a push.
func (u *update) result(answer io.Reader) error {
	answer = artifact.Bound(answer, maxReport, "the answer to a push")
	var says message
	if u.capabilities.Supports(capability.Sideband64k) {
		d := sideband.NewDemuxer(sideband.Sideband64k, answer)
		d.Progress = &says
		answer = d
	}
	report := packp.NewReportStatus()
	if err := report.Decode(answer); err != nil {
		if len(says) > 0 {
			return fmt.Errorf("%w; the server says %s", err, source.Quote(string(says)))
		}
		return err
	}
	if report.UnpackStatus != "ok" {
		return rejection("the objects", report.UnpackStatus, says)
	}
	reported := map[string]string{}
	for _, s := range report.CommandStatuses {
		reported[s.ReferenceName.String()] = s.Status
	}
	var errs []error
	for _, t := range u.Targets {
		if why := cmp.Or(reported[t.Reference], "no answer"); why != "ok" {
			errs = append(errs, rejection(t.Reference, why, says))
		}
	}
	return errors.Join(errs...)
}

// rejection returns the error of something that the server declines. Git has no codes for the reason, so rejection
// compares the text for the way out.
func rejection(what, why string, says message) error {
	err := fmt.Errorf("%w: %s: %s", source.ErrRejected, what, source.Quote(why))
	if text := strings.TrimSpace(string(says)); text != "" {
		err = fmt.Errorf("%w; the server says %s", err, source.Quote(text))
	}
	switch text := strings.ToLower(why + string(says)); {
	case strings.Contains(text, "protected"):
		return fmt.Errorf("%w; let these credentials push to the protected branch, or push to another branch", err)
	case strings.Contains(text, "non-fast-forward"), strings.Contains(text, "denying"):
		return fmt.Errorf("%w; let the server replace this branch, or delete it", err)
	case strings.Contains(text, "hook"):
		return fmt.Errorf("%w; a hook of the server decides that", err)
	}
	return err
}

// encodePack returns a pack of whole objects.
func encodePack(objects []object) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("PACK")
	header := binary.BigEndian.AppendUint32(nil, 2) // the version
	b.Write(binary.BigEndian.AppendUint32(header, uint32(len(objects))))
	for _, o := range objects {
		writeHeader(&b, o.kind, len(o.content))
		w := zlib.NewWriter(&b)
		if _, err := w.Write(o.content); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
	}
	sum := sha1.Sum(b.Bytes()) // Git's own checksum
	b.Write(sum[:])
	return b.Bytes(), nil
}

// writeHeader writes the kind and the size of an object: four bits of the size, then seven in each byte.
func writeHeader(b *bytes.Buffer, kind plumbing.ObjectType, size int) {
	next := byte(kind)<<4 | byte(size&15)
	for size >>= 4; size > 0; size >>= 7 {
		b.WriteByte(next | 0x80)
		next = byte(size & 0x7f)
	}
	b.WriteByte(next)
}
