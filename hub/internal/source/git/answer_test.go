package git

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp/capability"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// pkt is a line of Git's protocol.
func pkt(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

const oneID, twoID = "1111111111111111111111111111111111111111", "2222222222222222222222222222222222222222"

// FuzzAdvertisement has the list of references of a hostile server, for every way to name a commit.
func FuzzAdvertisement(f *testing.F) {
	begin := pkt("# service=git-upload-pack\n") + "0000"
	for _, lines := range []string{
		begin + pkt(oneID+" HEAD\x00multi_ack side-band-64k ofs-delta shallow agent=git/2.40 symref=HEAD:refs/heads/main\n") +
			pkt(oneID+" refs/heads/main\n") + pkt(twoID+" refs/tags/v1.0.0\n") + pkt(oneID+" refs/tags/v1.0.0^{}\n") + "0000",
		begin + pkt(strings.Repeat("0", 40)+" capabilities^{}\x00agent=x\n") + "0000",
		begin + pkt(oneID+" refs/heads/../../config\x00\n") + pkt("shallow "+twoID) + "0000",
		begin + pkt(oneID+" refs/heads/main\x00allow-reachable-sha1-in-want=x =\x00\n"),
		begin + pkt("ERR Repository not found"),
		"0000", "", "0004", "fff0", "000000000000",
	} {
		f.Add([]byte(lines))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		refs, err := decodeAdvertisement(bytes.NewReader(text), Limits{Advertised: 1 << 16})
		if err != nil {
			_ = source.Classify(err, classify)
			return
		}
		for _, ref := range []reference{
			{}, {Branch: "main"}, {Tag: "v1.0.0"}, {SemVer: ">=1.0.0-0"}, {Name: "HEAD"}, {Commit: oneID}, {Commit: twoID,
				Branch: "main"},
		} {
			choice, err := resolve(ref, refs)
			if (err == nil) != (len(choice.candidates) > 0) || err != nil && !errors.Is(err, source.ErrReferenceNotFound) {
				t.Errorf("%s: %d candidates, %v", ref, len(choice.candidates), err)
			}
		}
	})
}

// scripted is a session whose server answers with these bytes.
type scripted struct{ answer []byte }

func (s scripted) advertise(context.Context) (*packp.AdvRefs, error) { return packp.NewAdvRefs(), nil }
func (s scripted) ask(context.Context, request) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(s.answer)), nil
}
func (s scripted) close() {}

// FuzzUploadPack has the answer of a hostile server to a request, in every form that a pack may come in.
func FuzzUploadPack(f *testing.F) {
	var objects []packObject
	blob := packObject{kind: 3, claimed: 1, content: []byte("x")}
	tree := line("100644", "a", plumbing.ComputeHash(plumbing.BlobObject, blob.content))
	treeID := plumbing.ComputeHash(plumbing.TreeObject, tree)
	commit := []byte("tree " + treeID.String() + "\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx")
	objects = append(objects, blob, packObject{kind: 2, claimed: uint64(len(tree)), content: tree},
		packObject{kind: 1, claimed: uint64(len(commit)), content: commit})
	pack := string(packOf(3, objects...))
	want := plumbing.ComputeHash(plumbing.CommitObject, commit)
	for _, answer := range []string{
		pkt("NAK\n") + pack,
		pkt("NAK\n") + pkt("\x02counting\n") + pkt("\x01"+pack[:20]) + pkt("\x01"+pack[20:]) + "0000",
		pkt("shallow "+want.String()) + "0000" + pkt("NAK\n") + pkt("\x01"+pack) + "0000",
		pkt("shallow "+want.String()) + pkt("unshallow "+oneID) + "0000" + pkt("ACK "+oneID+" ready\n") +
			pkt("ACK "+oneID+"\n") + pack,
		pkt("NAK\n") + pkt("\x03fatal: no\n"), pkt("ERR upload-pack: not our ref"), pkt("NAK\n"), "0000", "",
	} {
		f.Add([]byte(answer), true, true)
		f.Add([]byte(answer), false, false)
	}
	f.Fuzz(func(t *testing.T, answer []byte, sideband, shallow bool) {
		refs := packp.NewAdvRefs()
		for c, on := range map[capability.Capability]bool{capability.Sideband64k: sideband, capability.Shallow: shallow} {
			if on {
				_ = refs.Capabilities.Set(c)
			}
		}
		r := repositoryOf(t)
		c := candidate{want: want, commit: want}
		err := r.transfer(t.Context(), scripted{answer}, refs, []candidate{c}, false, limitsOf(1<<16), t.TempDir())
		if err != nil {
			_ = source.Classify(err, classify)
			return
		}
		if kind, _, err := r.objects.get(want); kind != plumbing.CommitObject || err != nil {
			t.Errorf("the transfer succeeded without the commit: %v", err)
		}
	})
}

// FuzzReport has the answer of a hostile server to a push: it is a success only if the server says so.
func FuzzReport(f *testing.F) {
	ok := pkt("unpack ok\n") + pkt("ok refs/heads/main\n") + "0000"
	for _, answer := range []string{
		ok, pkt("\x02declined\n") + pkt("\x01"+ok) + "0000", pkt("unpack no space\n") + "0000",
		pkt("unpack ok\n") + pkt("ng refs/heads/main protected branch hook declined\n") + "0000",
		pkt("unpack ok\n") + "0000", pkt("\x03fatal: no\n"), pkt("ERR no"), "0000", "",
	} {
		f.Add([]byte(answer), true)
		f.Add([]byte(answer), false)
	}
	f.Fuzz(func(t *testing.T, answer []byte, sideband bool) {
		u := &update{Push: Push{Targets: []Target{{Reference: "refs/heads/main"}}}, capabilities: capability.NewList()}
		if sideband {
			_ = u.capabilities.Set(capability.Sideband64k)
		}
		err := u.result(bytes.NewReader(answer))
		if err == nil && !bytes.Contains(answer, []byte("ok refs/heads/main")) && !sideband {
			t.Errorf("a success without an answer for the branch: %q", answer)
		}
		if err != nil {
			_ = source.Classify(err, classify)
		}
	})
}

// TestReferenceNames has names of references that are paths out of every folder: they name nothing on disk.
func TestReferenceNames(t *testing.T) {
	blob := packObject{kind: 3, claimed: 1, content: []byte("x")}
	tree := line("100644", "a", plumbing.ComputeHash(plumbing.BlobObject, blob.content))
	commit := []byte("tree " + plumbing.ComputeHash(plumbing.TreeObject, tree).String() +
		"\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx")
	id := plumbing.ComputeHash(plumbing.CommitObject, commit)
	pack := packOf(3, blob, packObject{kind: 2, claimed: uint64(len(tree)), content: tree},
		packObject{kind: 1, claimed: uint64(len(commit)), content: commit})
	for name, c := range map[string]struct {
		ref      reference
		revision string
	}{
		"outside":         {reference{Branch: "../../config"}, "../../config"},
		"absolute":        {reference{Branch: "/etc/x"}, "/etc/x"},
		"git_folder":      {reference{Branch: ".git/config"}, ".git/config"},
		"outside_by_name": {reference{Name: "refs/heads/../../config"}, "refs/heads/../../config"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			refs := packp.NewAdvRefs()
			refs.References["refs/heads/"+strings.TrimPrefix(c.revision, "refs/heads/")] = id
			answer := advertised{scripted{append([]byte(pkt("NAK\n")), pack...)}, refs}
			a, err := artifact.New(filepath.Join(dir, "in")).Make(t.Context(), nil,
				func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
					f := &fetching{Request: source.Request{Workspace: w}, id: "00", limits: DefaultLimits}
					f.spec.Ref = c.ref
					return f.attempt(t.Context(), answer)
				})
			if err != nil || a.Revision != c.revision+"@sha1:"+id.String() || !filepath.IsLocal(a.Dir) {
				t.Errorf("artifact %+v, %v", a, err)
			}
			if left, _ := os.ReadDir(dir); len(left) != 1 {
				t.Errorf("written outside: %v", left)
			}
		})
	}
}

// advertised is a scripted session with references.
type advertised struct {
	scripted
	refs *packp.AdvRefs
}

func (a advertised) advertise(context.Context) (*packp.AdvRefs, error) { return a.refs, nil }
