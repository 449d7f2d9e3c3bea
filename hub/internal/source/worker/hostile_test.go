package worker

import (
	"bytes"
	"compress/zlib"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// pack is a pack made by hand.
type pack struct {
	body  bytes.Buffer
	count uint32
}

// Kinds of a pack's objects.
const (
	commitKind   = 1
	treeKind     = 2
	blobKind     = 3
	refDeltaKind = 7
)

// add adds an object, or a delta on the object named by base.
func (p *pack) add(kind byte, base, content []byte) {
	first, rest := kind<<4|byte(len(content)&15), len(content)>>4
	for ; rest > 0; rest >>= 7 {
		p.body.WriteByte(first | 0x80)
		first = byte(rest & 0x7f)
	}
	p.body.WriteByte(first)
	p.body.Write(base)
	z := zlib.NewWriter(&p.body)
	_, _ = z.Write(content)
	_ = z.Close()
	p.count++
}

func (p *pack) bytes() []byte {
	whole := binary.BigEndian.AppendUint32([]byte("PACK\x00\x00\x00\x02"), p.count)
	whole = append(whole, p.body.Bytes()...)
	sum := sha1.Sum(whole)
	return append(whole, sum[:]...)
}

func idOf(kind string, content []byte) []byte {
	sum := sha1.Sum(append(fmt.Appendf(nil, "%s %d\x00", kind, len(content)), content...))
	return sum[:]
}

// addCommit adds a commit of one file, "a", and returns its id.
func (p *pack) addCommit(content string) string {
	p.add(blobKind, nil, []byte(content))
	tree := append([]byte("100644 a\x00"), idOf("blob", []byte(content))...)
	p.add(treeKind, nil, tree)
	commit := fmt.Appendf(nil, "tree %x\nauthor a <a> 1 +0000\ncommitter a <a> 1 +0000\n\nx", idOf("tree", tree))
	p.add(commitKind, nil, commit)
	return fmt.Sprintf("%x", idOf("commit", commit))
}

// addBombs adds a blob of size zeros and n deltas, each on the one before it, that change its first eight bytes.
func (p *pack) addBombs(n, size int) {
	content := make([]byte, size)
	p.add(blobKind, nil, content)
	for i := range n {
		base := idOf("blob", content)
		delta := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(size)), uint64(size))
		mark := binary.BigEndian.AppendUint64(nil, uint64(i+1))
		delta = append(append(delta, 8), mark...)
		for at := 8; at < size; { // copies the rest of the base
			length := min(size-at, 0xffffff)
			delta = append(delta, 0xff, byte(at), byte(at>>8), byte(at>>16), byte(at>>24), byte(length), byte(length>>8),
				byte(length>>16))
			at += length
		}
		p.add(refDeltaKind, base, delta)
		copy(content, mark)
	}
}

func line(text string) string { return fmt.Sprintf("%04x%s", len(text)+4, text) }

// serve returns the URL of a server that advertises what refs writes, and answers every request with one pack.
func serveGit(t *testing.T, refs func(io.Writer), pack []byte) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			w.Header().Set("Content-Type", "application/x-git-upload-pack-result")
			_, _ = io.WriteString(w, line("NAK\n"))
			_, _ = w.Write(pack)
			return
		}
		w.Header().Set("Content-Type", "application/x-git-upload-pack-advertisement")
		_, _ = io.WriteString(w, line("# service=git-upload-pack\n")+"0000")
		refs(w)
		_, _ = io.WriteString(w, "0000")
	}))
	t.Cleanup(server.Close)
	return server.URL + "/x.git"
}

func onlyMain(commit string) func(io.Writer) {
	return func(w io.Writer) { _, _ = io.WriteString(w, line(commit+" refs/heads/main\x00agent=x\n")) }
}

// TestManyReferences has servers with more references than a repository has.
func TestManyReferences(t *testing.T) {
	refs := func(n int) func(io.Writer) {
		return func(w io.Writer) {
			var b bytes.Buffer
			for i := range n {
				name := fmt.Sprintf("%040x refs/heads/b%07d", i+1, i)
				if i == 0 {
					name += "\x00agent=x"
				}
				b.WriteString(line(name + "\n"))
				if b.Len() > 1<<20 || i == n-1 {
					if _, err := w.Write(b.Bytes()); err != nil {
						return // it has heard enough
					}
					b.Reset()
				}
			}
		}
	}
	f := newFetcher(t, Config{Workers: 1}, Command)
	million := request{URL: serveGit(t, refs(1_000_000), nil), Branch: "main"}
	fails(t, f, million, []error{source.ErrReferenceNotFound}, "and 999990 more")
	more := request{URL: serveGit(t, refs(1_200_000), nil), Branch: "main"}
	fails(t, f, more, []error{artifact.ErrLimit}, "list of references", "64 MiB")
	if held := strings.Join(workers(t), " "); strings.Contains(held, " ") {
		t.Errorf("the worker was replaced: %s", held)
	}
}

// TestHugeBlob has a pack whose one object claims two gigabytes and gives them.
func TestHugeBlob(t *testing.T) {
	var p pack
	id := p.addCommit("hello")
	p.body.Write([]byte{blobKind<<4 | 0x80, 0x80, 0x80, 0x80, 0x40}) // 2 GiB
	z := zlib.NewWriter(&p.body)
	zeros := make([]byte, 1<<20)
	for range 100 { // it does not come to the end
		_, _ = z.Write(zeros)
	}
	_ = z.Close()
	p.count++
	url := serveGit(t, onlyMain(id), p.bytes())
	f := newFetcher(t, Config{}, Command)
	fails(t, f, request{URL: url, Branch: "main"}, []error{artifact.ErrLimit}, "2 GiB", "64 MiB")
}
