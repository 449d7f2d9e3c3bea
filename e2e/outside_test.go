package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/sopstest"
)

// metric compares the sum of a metric's series with a number, or keeps it in a variable.
func metric(ctx context.Context, s *story, args []string) error {
	if len(args) != 4 {
		return errors.New("metric hub|CLUSTER NAME OP NUMBER | metric hub|CLUSTER NAME save VARIABLE")
	}
	daemon, err := s.daemon(args[0])
	if err != nil {
		return err
	}
	got, err := daemon.Metric(ctx, args[1])
	if err != nil {
		return err
	}
	if args[2] == "save" {
		s.ts.Setenv(args[3], strconv.FormatFloat(got, 'f', -1, 64))
		return nil
	}
	want, err := strconv.ParseFloat(args[3], 64)
	if err != nil {
		return err
	}
	holds, ok := map[string]bool{"==": got == want, "!=": got != want, "<": got < want, "<=": got <= want, ">": got > want,
		">=": got >= want}[args[2]]
	if !ok {
		return fmt.Errorf("unknown comparison %q", args[2])
	}
	if !holds {
		return fmt.Errorf("%s of %s is %v, want %s %v", args[1], args[0], got, args[2], want)
	}
	return nil
}

// daemon returns the hub, or the spoke of a cluster.
func (s *story) daemon(name string) (*harness.Process, error) {
	if name == "hub" && s.fleet == nil {
		return nil, errNoHub
	}
	if name == "hub" {
		return s.fleet.Hub, nil
	}
	spoke, err := s.spoke(name)
	if err != nil {
		return nil, err
	}
	return spoke.Process, nil
}

// keyOf returns the story's key, made when it is first used.
func (s *story) keyOf(args []string) (*sopstest.Key, []string, error) {
	key, create := &s.age, sopstest.NewAge
	if len(args) > 0 && args[0] == "-pgp" {
		key, create, args = &s.pgp, sopstest.NewPGP, args[1:]
	}
	var err error
	if *key == nil {
		*key, err = create()
	}
	return *key, args, err
}

// encrypt encrypts a file for the story's key, as sops --encrypt --in-place does.
func encrypt(_ context.Context, s *story, args []string) error {
	key, args, err := s.keyOf(args)
	if err == nil && len(args) > 0 && args[0] == "-vault" {
		args = args[1:]
		key, err = s.vaultKey()
	}
	if err != nil {
		return err
	}
	if len(args) != 1 {
		return errors.New("sops [-pgp | -vault] FILE")
	}
	plain, err := os.ReadFile(s.path(args[0]))
	if err != nil {
		return err
	}
	file, err := key.EncryptFile(args[0], plain)
	if err != nil {
		return err
	}
	return os.WriteFile(s.path(args[0]), file, 0o644)
}

// joinFiles puts files together into the first one, as documents of YAML.
func joinFiles(_ context.Context, s *story, args []string) error {
	if len(args) < 2 {
		return errors.New("documents FILE FROM…")
	}
	var parts [][]byte
	for _, name := range args[1:] {
		part, err := os.ReadFile(s.path(name))
		if err != nil {
			return err
		}
		parts = append(parts, part)
	}
	return os.WriteFile(s.path(args[0]), bytes.Join(parts, []byte("---\n")), 0o644)
}

// embed replaces a text in a file by another file in base64.
func embed(_ context.Context, s *story, args []string) error {
	if len(args) != 3 {
		return errors.New("embed FILE OLD FROM")
	}
	file, err := os.ReadFile(s.path(args[0]))
	if err != nil {
		return err
	}
	from, err := os.ReadFile(s.path(args[2]))
	if err != nil {
		return err
	}
	encoded := base64.StdEncoding.EncodeToString(from)
	return os.WriteFile(s.path(args[0]), bytes.ReplaceAll(file, []byte(args[1]), []byte(encoded)), 0o644)
}

// createKey creates the Secret with the story's private key in a cluster, or with one that opens nothing, and its
// namespace if there is none. The key is in $private_key then.
func createKey(ctx context.Context, s *story, args []string) error {
	if len(args) < 2 {
		return errors.New("key CLUSTER [-pgp | -other] NAMESPACE/NAME")
	}
	c, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	var key *sopstest.Key
	if args = args[1:]; args[0] == "-other" {
		args = args[1:]
		key, err = sopstest.NewAge()
	} else {
		key, args, err = s.keyOf(args)
	}
	if err != nil {
		return err
	}
	s.ts.Setenv("private_key", strings.TrimSpace(string(key.Private())))
	namespace, name, both := strings.Cut(args[0], "/")
	if !both {
		return fmt.Errorf("want NAMESPACE/NAME, not %q", args[0])
	}
	for _, o := range []map[string]any{
		{"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": namespace}},
		{"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"name": name, "namespace": namespace},
			"data": map[string]any{
				key.Entry(): base64.StdEncoding.EncodeToString(key.Private()),
			}},
	} {
		b, err := (&unstructured.Unstructured{Object: o}).MarshalJSON()
		if err != nil {
			return err
		}
		if err := c.Apply(ctx, b); err != nil {
			return err
		}
	}
	s.cleanups = append(s.cleanups, func() error {
		return ignoreMissing(c.Delete(context.Background(), "Secret", namespace,
			name))
	})
	return nil
}

// canary looks for a text in every byte that hub and spokes keep or log, in their metrics, and in what the CLI printed
// and prints of every object now. What is compressed or in base64 is looked into.
func canary(ctx context.Context, s *story, args []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	if len(args) != 1 {
		return errors.New("canary TEXT")
	}
	for _, kind := range []string{"clusters", "fleets", "gitrepositories", "kustomizations"} {
		if err := naveCommand(ctx, s, []string{"get", kind, "-A", "-o", "json"}); err != nil {
			return err
		}
	}
	if err := naveCommand(ctx, s, []string{"events"}); err != nil {
		return err
	}
	_ = naveCommand(ctx, s, []string{"explain"}) // it ends with 1 when something is wrong
	s.stdout.Reset()
	s.printed = false // nobody wants to read all that
	if holds(s.said.Bytes(), args[0]) {
		return fmt.Errorf("the CLI printed %q", args[0])
	}
	daemons := []*harness.Process{s.fleet.Hub}
	for _, spoke := range s.spokes {
		daemons = append(daemons, spoke.Process)
	}
	for _, daemon := range daemons {
		// A daemon that does not run has no metrics.
		if metrics, err := daemon.Get(ctx, "/metrics"); err == nil && holds([]byte(metrics), args[0]) {
			return fmt.Errorf("the metrics hold %q", args[0])
		}
	}
	if s.tap != nil && s.tap.failure() != nil {
		return s.tap.failure()
	}
	return filepath.WalkDir(s.dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Type()&fs.ModeSocket != 0 { // a socket keeps nothing
			return err
		}
		b, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file
		}
		if err == nil && (holds(b, args[0]) || holdsCompressed(b, args[0])) {
			err = fmt.Errorf("%s holds %q", path, args[0])
		}
		return err
	})
}

// holds reports whether text is in b: plainly, escaped for URLs, or in base64 at any offset.
func holds(b []byte, text string) bool {
	percent := ""
	for _, c := range []byte(text) {
		percent += fmt.Sprintf("%%%02X", c)
	}
	for _, form := range []string{text, url.QueryEscape(text), url.PathEscape(text), percent, strings.ToLower(percent)} {
		if bytes.Contains(b, []byte(form)) {
			return true
		}
	}
	for shift := range 3 {
		encoded := base64.RawStdEncoding.EncodeToString(append(make([]byte, shift), text...))
		inner := encoded[(shift*8+5)/6 : len(encoded)-1] // the characters that only text decides
		if bytes.Contains(b, []byte(inner)) {
			return true
		}
	}
	return false
}

// zstdMagic begins each zstd frame.
var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// holdsCompressed looks into every zstd frame in b.
func holdsCompressed(b []byte, text string) bool {
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20),
		zstd.IgnoreChecksum(true))
	if err != nil {
		return true
	}
	defer decoder.Close()
	for {
		i := bytes.Index(b, zstdMagic)
		if i < 0 {
			return false
		}
		if err := decoder.Reset(bytes.NewReader(b[i:])); err == nil {
			plain, _ := io.ReadAll(decoder) // to where the frame ends and other bytes begin
			if holds(plain, text) {
				return true
			}
		}
		b = b[i+len(zstdMagic):]
	}
}

// objects writes a file of many ConfigMaps.
func objects(_ context.Context, s *story, args []string) error {
	if len(args) != 4 {
		return errors.New("objects COUNT FILE NAMESPACE VALUE")
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: object-%03d, namespace: %s}\ndata: {value: "+
			"%q}\n", i, args[2], args[3])
	}
	if err := os.MkdirAll(filepath.Dir(s.path(args[1])), 0o755); err != nil {
		return err
	}
	return os.WriteFile(s.path(args[1]), []byte(b.String()), 0o644)
}

// disk gives the hub's data or a spoke's state a small disk of its own, fills it, and makes room again.
func disk(_ context.Context, s *story, args []string) error {
	if len(args) != 2 {
		return errors.New("disk hub|CLUSTER SIZE | full | free")
	}
	dir := filepath.Join(s.dir, "hub")
	if args[0] != "hub" {
		dir = filepath.Join(s.dir, "spoke-"+args[0], "state")
	}
	switch d := s.disks[args[0]]; {
	case args[1] == "full" && d != nil:
		return d.Fill()
	case args[1] == "free" && d != nil:
		return d.Free()
	}
	d, err := harness.MountDisk(dir, args[1])
	if err != nil {
		return err
	}
	s.disks[args[0]] = d
	s.cleanups = append(s.cleanups, d.Unmount)
	return nil
}
