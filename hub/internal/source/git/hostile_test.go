package git

import (
	"bytes"
	"compress/zlib"
	"context"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/navefleet/nave/hub/internal/artifact"
	"github.com/navefleet/nave/hub/internal/source"
)

// repositoryOf makes a cache with objects put there by hand, as no git command makes them.
func repositoryOf(t testing.TB) *repository {
	t.Helper()
	r, err := openRepository(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *repository) mustPut(t testing.TB, kind plumbing.ObjectType, content []byte) plumbing.Hash {
	t.Helper()
	id := plumbing.ComputeHash(kind, content)
	if _, err := r.objects.add(id, kind, content); err != nil {
		t.Fatal(err)
	}
	return id
}

// line is one entry of a tree object.
func line(mode, name string, id plumbing.Hash) []byte {
	return append([]byte(mode+" "+name+"\x00"), id[:]...)
}

func TestTree_refused(t *testing.T) {
	r := repositoryOf(t)
	blob := r.mustPut(t, plumbing.BlobObject, []byte("x"))
	full := r.mustPut(t, plumbing.TreeObject, line("100644", "f", blob))
	for name, c := range map[string][]byte{
		"parent":               line("40000", "..", full),
		"itself":               line("100644", ".", blob),
		"slash":                line("100644", "../x", blob),
		"absolute":             line("100644", "/etc/x", blob),
		"empty_name":           line("100644", "", blob),
		"git_in_capitals":      line("40000", ".GiT", full),
		"NTFS_short_name":      line("40000", "GIT~1", full),
		"NTFS_trailing_dot":    line("40000", ".git. .", full),
		"NTFS_trailing_space":  line("40000", ".git ", full),
		"NTFS_stream":          line("100644", ".git::$INDEX_ALLOCATION", blob),
		"NTFS_backslash":       line("100644", `a\.git\config`, blob),
		"HFS_invisible_letter": line("40000", ".g\u200cit", full),
		"twice":                append(line("100644", "a", blob), line("120000", "a", blob)...),
		"link_and_folder":      append(line("120000", "a", blob), line("40000", "a", full)...),
		"unknown_mode":         line("060000", "device", blob),
		"name_too_long":        line("100644", strings.Repeat("a", 256), blob),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := putTree(t, r, c); !errors.Is(err, artifact.ErrTree) {
				t.Errorf("got %v, want ErrTree", err)
			}
		})
	}
	for name, mode := range map[string]string{
		".gitignore": "100644", ".github": "100644", "git": "100644", ".gitx": "100644", "a.git": "100644",
		"dev\\x2dlabel": "100644", "ünïcode": "100644", "spa ce": "100644", "Icon\r": "100644", "caf\xe9": "100644",
		"a\x1b[2Jb": "100644", ".gitmodules": "120000", "gitmod~1": "120000",
	} {
		t.Run(fmt.Sprintf("good_%q", name), func(t *testing.T) {
			if _, err := putTree(t, r, line(mode, name, blob)); err != nil {
				t.Error(err)
			}
		})
	}
}

// putTree makes an artifact of a tree object.
func putTree(t *testing.T, r *repository, content []byte) (artifact.Artifact, error) {
	t.Helper()
	l := lister{repository: r, limits: DefaultLimits}
	if err := l.list(t.Context(), r.mustPut(t, plumbing.TreeObject, content), plumbing.ZeroHash, ""); err != nil {
		return artifact.Artifact{}, err
	}
	return artifact.New(t.TempDir()).Make(t.Context(), nil,
		func(w artifact.Workspace, _ *artifact.Artifact) (artifact.Artifact, error) {
			return w.Put(t.Context(), "00", artifact.Tree{Files: l.files, Contents: r}, nil)
		})
}

// TestTree_bomb has trees of a few objects that stand for more files than any source may have, and deeper ones.
func TestTree_bomb(t *testing.T) {
	r := repositoryOf(t)
	tree := r.mustPut(t, plumbing.TreeObject, line("100644", "f", r.mustPut(t, plumbing.BlobObject, []byte("x"))))
	for range 10 { // 10 to the 10th files
		var content []byte
		for _, name := range strings.Split("0123456789", "") {
			content = append(content, line("40000", name, tree)...)
		}
		tree = r.mustPut(t, plumbing.TreeObject, content)
	}
	l := lister{repository: r, limits: DefaultLimits}
	if err := l.list(t.Context(), tree, plumbing.ZeroHash, ""); !errors.Is(err, artifact.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
	deep := emptyTree
	for range artifact.MaxDepth + 2 {
		deep = r.mustPut(t, plumbing.TreeObject, line("40000", "d", deep))
	}
	l = lister{repository: r, limits: DefaultLimits}
	if err := l.list(t.Context(), deep, plumbing.ZeroHash, ""); !errors.Is(err, artifact.ErrLimit) {
		t.Errorf("got %v, want ErrLimit", err)
	}
}

// TestModules_link has a .gitmodules that is a symlink to a list: the list is not read, as in Git.
func TestModules_link(t *testing.T) {
	r := repositoryOf(t)
	list := r.mustPut(t, plumbing.BlobObject, []byte("[submodule \"x\"]\n\tpath = x\n\turl = https://192.0.2.1/x\n"))
	target := r.mustPut(t, plumbing.BlobObject, []byte("list"))
	for mode, want := range map[string]int{"100644": 1, "120000": 0} {
		id := map[string]plumbing.Hash{"100644": list, "120000": target}[mode]
		tree := r.mustPut(t, plumbing.TreeObject, append(line(mode, modulesFile, id), line("100644", "list", list)...))
		g := &gathering{lister: lister{repository: r, limits: DefaultLimits}}
		if addresses, err := g.modules(t.Context(), r, tree); len(addresses) != want || err != nil {
			t.Errorf("mode %s: got %v, %v", mode, addresses, err)
		}
	}
}

func TestObject_hash(t *testing.T) {
	r := repositoryOf(t)
	id := plumbing.ComputeHash(plumbing.BlobObject, []byte("right"))
	if _, err := r.objects.add(id, plumbing.BlobObject, []byte("wrong")); err != nil {
		t.Fatal(err)
	}
	if _, err := r.read(t.Context(), plumbing.BlobObject, id, 100); !errors.Is(err, errCache) {
		t.Errorf("got %v, want errCache", err)
	}
}

// packObject is an object of a pack made by hand.
type packObject struct {
	kind    byte
	claimed uint64
	extra   []byte // base of a delta
	content []byte
}

// packOf makes a pack that claims to have count objects and holds these.
func packOf(count uint32, objects ...packObject) []byte {
	var b bytes.Buffer
	z := zlib.NewWriter(&b)
	b.WriteString("PACK")
	_ = binary.Write(&b, binary.BigEndian, []uint32{2, count})
	for _, o := range objects {
		first, rest := o.kind<<4|byte(o.claimed&15), o.claimed>>4
		for rest > 0 {
			b.WriteByte(first | 0x80)
			first, rest = byte(rest&0x7f), rest>>7
		}
		b.WriteByte(first)
		b.Write(o.extra)
		z.Reset(&b)
		_, _ = z.Write(o.content)
		_ = z.Close()
	}
	sum := sha1.Sum(b.Bytes())
	return append(b.Bytes(), sum[:]...)
}

func install(t testing.TB, ctx context.Context, pack []byte, limits Limits) error {
	t.Helper()
	return installTo(t, ctx, repositoryOf(t), pack, limits)
}

func installIn(t testing.TB, r *repository, pack []byte, limits Limits) {
	t.Helper()
	if err := installTo(t, t.Context(), r, pack, limits); err != nil {
		t.Fatal(err)
	}
}

func installTo(t testing.TB, ctx context.Context, r *repository, pack []byte, limits Limits) error {
	t.Helper()
	file, err := os.CreateTemp(t.TempDir(), "pack")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.Write(pack); err != nil {
		t.Fatal(err)
	}
	return r.install(ctx, file, int64(len(pack)), limits)
}

func TestPack_refused(t *testing.T) {
	bomb := bytes.Repeat([]byte{0}, 10<<20)
	small := limitsOf(1 << 20)
	delta := func(source, target uint64, rest ...byte) []byte {
		return append(binary.AppendUvarint(binary.AppendUvarint(nil, source), target), rest...)
	}
	bombs := func(n byte) (objects []packObject) {
		for i := range n {
			objects = append(objects, packObject{3, 1 << 20, nil, append([]byte{i}, bomb[1:1<<20]...)})
		}
		return objects
	}
	for name, c := range map[string]struct {
		pack []byte
		want error
	}{
		"four_billion_objects_claimed": {packOf(1<<32 - 1), artifact.ErrLimit},
		"zlib_bomb": {packOf(1, packObject{kind: 3, claimed: uint64(len(bomb)), content: bomb}),
			artifact.ErrLimit},
		"zlib_bomb_that_lies": {packOf(1, packObject{kind: 3, claimed: 10, content: bomb}), source.ErrProtocol},
		"size_that_overflows": {packOf(1, packObject{kind: 3, claimed: 1<<63 + 5, content: []byte("x")}), nil},
		"many_small_bombs":    {packOf(9, bombs(9)...), artifact.ErrLimit},
		"delta_to_something_huge": {packOf(2, packObject{kind: 3, claimed: 1, content: []byte("x")},
			packObject{kind: 7, claimed: uint64(len(delta(1, 1<<40))), extra: make([]byte, 20),
				content: delta(1, 1<<40)}), artifact.ErrLimit},
		"delta_without_sizes": {packOf(1, packObject{kind: 7, claimed: 1, extra: make([]byte, 20), content: []byte{0x80}}),
			artifact.ErrLimit},
		"delta_without_a_base": {packOf(1, packObject{kind: 7, claimed: 4, extra: make([]byte, 20),
			content: delta(1, 1, 1, 'x')}), source.ErrProtocol},
		"object_twice": {packOf(2, packObject{kind: 3, claimed: 1, content: []byte("x")},
			packObject{kind: 3, claimed: 1, content: []byte("x")}), source.ErrProtocol},
		"unknown_type": {packOf(1, packObject{kind: 5, claimed: 1, content: []byte("x")}), source.ErrProtocol},
		"cut_off":      {packOf(2, packObject{kind: 3, claimed: 1, content: []byte("x")}), nil},
		"wrong_checksum": {append(packOf(1, packObject{kind: 3, claimed: 1, content: []byte("x")})[:30],
			make([]byte, 20)...), nil},
		"nothing": {nil, source.ErrUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			err := install(t, t.Context(), c.pack, small)
			if err == nil || c.want != nil && !errors.Is(source.Classify(err, classify), c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
	if err := install(t, t.Context(), packOf(1, packObject{kind: 3, claimed: 1, content: []byte("x")}),
		small); err != nil {
		t.Errorf("an honest pack: %v", err)
	}
}

// TestObjectLimit has packs whose objects together are far from every limit.
func TestObjectLimit(t *testing.T) {
	const most = 1 << 10
	limits := DefaultLimits
	limits.File = most
	base := packObject{kind: 3, claimed: most, content: make([]byte, most)}
	id := plumbing.ComputeHash(plumbing.BlobObject, base.content)
	delta := func(target int, rest []byte) packObject {
		text := append(binary.AppendUvarint(binary.AppendUvarint(nil, most), uint64(target)), rest...)
		return packObject{kind: 7, claimed: uint64(len(text)), extra: id[:], content: text}
	}
	long := bytes.Repeat([]byte{1, 'x'}, 600) // inserts 600 bytes, one by one
	for name, c := range map[string]struct {
		object packObject
		fits   bool
	}{
		"blob_at_limit":   {packObject{kind: 3, claimed: most, content: bytes.Repeat([]byte{1}, most)}, true},
		"blob":            {packObject{kind: 3, claimed: most + 1, content: make([]byte, most+1)}, false},
		"tree":            {packObject{kind: 2, claimed: most + 1, content: make([]byte, most+1)}, false},
		"two_gigabytes":   {packObject{kind: 3, claimed: 2 << 30, content: make([]byte, 4<<10)}, false},
		"target_at_limit": {delta(most, []byte{1, 'x', 0xb0, 0xff, 3}), true}, // one byte more, one byte less of the base
		"target":          {delta(most+1, []byte{1, 'x', 0xb0, 0, 4}), false},
		"delta":           {delta(600, long), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := install(t, t.Context(), packOf(2, base, c.object), limits)
			if c.fits != (err == nil) || err != nil && !(errors.Is(err, artifact.ErrLimit) &&
				strings.Contains(err.Error(), "an object of")) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// chainOf makes a pack with a blob and n deltas, each on the one before it, of 8 bytes each. A step gets the object
// before it and returns the next one's kind and how it names its base.
func chainOf(n int, base func(id plumbing.Hash, distance int) (kind byte, extra []byte)) []packObject {
	content := binary.BigEndian.AppendUint64(nil, 0)
	objects := []packObject{{kind: 3, claimed: 8, content: content}}
	for i := range n {
		id := plumbing.ComputeHash(plumbing.BlobObject, content)
		content = binary.BigEndian.AppendUint64(nil, uint64(i+1))
		delta := append([]byte{8, 8, 8}, content...)
		kind, extra := base(id, len(packOf(1, objects[i]))-12-20)
		objects = append(objects, packObject{kind: kind, claimed: uint64(len(delta)), extra: extra, content: delta})
	}
	return objects
}

func byHash(id plumbing.Hash, _ int) (byte, []byte) { return 7, id[:] }

func byDistance(_ plumbing.Hash, distance int) (byte, []byte) { return 6, []byte{byte(distance)} }

func TestDeltaChain(t *testing.T) {
	reversed := func(objects []packObject) []packObject {
		slices.Reverse(objects[1:])
		return objects
	}
	for name, chain := range map[string]func(n int) []packObject{
		"by_distance":      func(n int) []packObject { return chainOf(n, byDistance) },
		"by_hash":          func(n int) []packObject { return chainOf(n, byHash) },
		"by_hash_reversed": func(n int) []packObject { return reversed(chainOf(n, byHash)) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := install(t, t.Context(), packOf(maxDeltaChain+1, chain(maxDeltaChain)...), DefaultLimits); err != nil {
				t.Errorf("%d deltas: %v", maxDeltaChain, err)
			}
			err := install(t, t.Context(), packOf(maxDeltaChain+2, chain(maxDeltaChain+1)...), DefaultLimits)
			if !errors.Is(err, artifact.ErrLimit) || !strings.Contains(err.Error(), "chain") {
				t.Errorf("%d deltas: %v, want ErrLimit", maxDeltaChain+1, err)
			}
		})
	}
}

// TestPackedObjects reads every object of a chain back, in both ways in which a cache keeps objects.
func TestPackedObjects(t *testing.T) {
	for name, n := range map[string]int{"loose": fewObjects - 1, "pack": fewObjects} {
		t.Run(name, func(t *testing.T) {
			r := repositoryOf(t)
			installIn(t, r, packOf(uint32(n+1), chainOf(n, byHash)...), DefaultLimits)
			if packs := r.state.Packs; packs != n/fewObjects {
				t.Errorf("%d packs", packs)
			}
			for i := range n + 1 {
				want := binary.BigEndian.AppendUint64(nil, uint64(i))
				id := plumbing.ComputeHash(plumbing.BlobObject, want)
				got, err := r.read(t.Context(), plumbing.BlobObject, id, 8)
				if err != nil || !bytes.Equal(got, want) {
					t.Fatalf("object %d is %x, %v", i, got, err)
				}
				if n, err := r.size(id); n != 8 || err != nil {
					t.Fatalf("object %d has the size %d, %v", i, n, err)
				}
			}
		})
	}
}

// TestThinPack has deltas of objects that only the cache has. A pack whose deltas lead back to themselves by way of
// such an object is refused.
func TestThinPack(t *testing.T) {
	r := repositoryOf(t)
	r.state.Tips = []tip{{}}
	base := r.mustPut(t, plumbing.BlobObject, []byte("base"))
	delta := func(on plumbing.Hash, size byte, text string) packObject { // replaces the content
		content := append([]byte{size, byte(len(text)), byte(len(text))}, text...)
		return packObject{kind: 7, claimed: uint64(len(content)), extra: on[:], content: content}
	}
	first := plumbing.ComputeHash(plumbing.BlobObject, []byte("first"))
	installIn(t, r, packOf(2, delta(base, 4, "first"), delta(first, 5, "second")), DefaultLimits)
	for _, want := range []string{"base", "first", "second"} {
		id := plumbing.ComputeHash(plumbing.BlobObject, []byte(want))
		if got, err := r.read(t.Context(), plumbing.BlobObject, id, 10); err != nil || string(got) != want {
			t.Errorf("%s is %q, %v", want, got, err)
		}
	}
	if r.state.Packs != 0 || r.state.Loose != 2 {
		t.Errorf("%d packs and %d loose objects, want 2 loose objects", r.state.Packs, r.state.Loose)
	}
	other := plumbing.ComputeHash(plumbing.BlobObject, []byte("other"))
	limits := DefaultLimits
	limits.File = 100 // nothing is kept in memory, so that every chain is followed
	pack := packOf(2, delta(base, 4, "other"), delta(other, 5, "base"))
	if err := installTo(t, t.Context(), r, pack, limits); err == nil {
		t.Error("a pack that leads back to itself was installed")
	}
}

// TestCacheDisk holds what a cache counts against what is on disk, for packs that inflate a thousandfold.
func TestCacheDisk(t *testing.T) {
	limits := DefaultLimits
	limits.Pack = 1 << 20
	for name, c := range map[string]struct {
		objects, size int
		full          bool // after nine transfers
	}{
		"small_objects": {60, 100, true},          // each in a block of its own
		"large_objects": {1, fewBytes + 1, false}, // all in a small pack
	} {
		t.Run(name, func(t *testing.T) {
			r := repositoryOf(t)
			for round := range 9 {
				if r.state.full(limits) {
					t.Fatalf("full after %d transfers", round)
				}
				installIn(t, r, packOf(uint32(c.objects), different(round, c.objects, c.size)...), DefaultLimits)
				if disk := diskOf(t, r.objects.dir); r.state.Disk != disk {
					t.Fatalf("the cache counts %d bytes, on disk are %d", r.state.Disk, disk)
				}
			}
			if r.state.full(limits) != c.full {
				t.Errorf("full: %v with %d bytes", !c.full, r.state.Disk)
			}
		})
	}
}

// different makes blobs that differ from those of other rounds.
func different(round, n, size int) (objects []packObject) {
	for i := range n {
		content := make([]byte, size)
		binary.BigEndian.PutUint64(content, uint64(round*n+i))
		objects = append(objects, packObject{kind: 3, claimed: uint64(size), content: content})
	}
	return objects
}

// diskOf returns the bytes that files below a folder take on disk.
func diskOf(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		n += onDisk(info.Size())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func limitsOf(n int64) Limits {
	limits := DefaultLimits
	limits.File, limits.Pack = n, n
	return limits
}

func TestCommit_headers(t *testing.T) {
	one, two := strings.Repeat("1", 40), strings.Repeat("2", 40)
	c, err := parseCommit([]byte("tree " + one + "\nparent " + two + "\nauthor a <a> 1 +0\ncommitter c <c> 5 +0\ntree " +
		two + "\n\nhi"))
	if err != nil || c.tree.String() != one || len(c.parents) != 1 || !c.committed.Equal(time.Unix(5, 0)) {
		t.Errorf("got %+v, %v", c, err)
	}
	for _, bad := range []string{"", "tree x\n", "parent " + one + "\n",
		"tree " + one + "\ntree " + two + "\nauthor a\ncommitter b"} {
		if _, err := parseCommit([]byte(bad)); !errors.Is(err, source.ErrProtocol) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestCommit_texts keeps short texts of one line about a commit, whatever it says.
func TestCommit_texts(t *testing.T) {
	head := "tree " + strings.Repeat("1", 40) + "\n"
	const signed = "\ncommitter c <c> 1767323045 +0200\ngpgsig -----BEGIN\n \n forged\n"
	long := strings.Repeat("é", 200)
	for _, c := range []struct{ name, content, author, subject string }{
		{"plain", "author Ada L <ada@example.com> 1 +0" + signed + "\nBegin\n\nAll of it\n",
			"Ada L <ada@example.com>", "Begin"},
		{"no_message", "author a <a> 1 +0" + signed, "a <a>", ""},
		{"no_address", "author nobody" + signed + "\n\n\nAfter empty lines", "", "After empty lines"},
		{"other_bytes", "author \xff\x1b <a> 1 +0" + signed + "\na\tb\r\xfe\n", "\ufffd\x1b <a>", "a b \ufffd"},
		{"long", "author a <a> 1 +0" + signed + "\n" + long, "a <a>", strings.Repeat("é", 126) + "…"},
	} {
		t.Run(c.name, func(t *testing.T) {
			made, err := parseCommit([]byte(head + c.content))
			got := made.about()
			if err != nil || got.Author != c.author || got.Subject != c.subject || got.Time.Unix() != 1767323045 {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

func FuzzParseTree(f *testing.F) {
	f.Add(line("100644", "a", emptyTree))
	f.Add(append(line("40000", "a", emptyTree), line("120000", "b", emptyTree)...))
	f.Fuzz(func(t *testing.T, content []byte) {
		entries, err := parseTree(content)
		if err != nil {
			return
		}
		for _, e := range entries {
			if artifact.BadName(e.name) == "" && filepath.Clean("/r/"+e.name) != "/r/"+e.name {
				t.Errorf("%q is a good name?", e.name)
			}
		}
	})
}

func FuzzParseCommit(f *testing.F) {
	f.Add([]byte("tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor a <a> 1 +0\ncommitter c <c> 5 +0\n\nhi"))
	f.Fuzz(func(_ *testing.T, content []byte) {
		_, _ = parseCommit(content)
		_, _ = parseTag(content)
	})
}

func FuzzPack(f *testing.F) {
	f.Add(packOf(1, packObject{kind: 3, claimed: 1, content: []byte("x")}))
	f.Add(packOf(2, packObject{kind: 3, claimed: 1, content: []byte("x")},
		packObject{kind: 6, claimed: 4, extra: []byte{11}, content: []byte{1, 1, 1, 'x'}}))
	f.Fuzz(func(t *testing.T, pack []byte) {
		_ = install(t, t.Context(), pack, limitsOf(1<<16))
	})
}
