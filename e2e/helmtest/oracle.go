package helmtest

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/navefleet/nave/e2e/kubetest"
)

// Oracle renders charts with the libraries of both versions of Helm, as helm template does. A process of its own
// renders all charts, so that a test can render very many.
type Oracle struct {
	mu  sync.Mutex
	in  *json.Encoder
	out *json.Decoder
}

// NewOracle starts an Oracle, which ends with the test. If the cache has none, NewOracle builds the command, in a
// minute or two.
func NewOracle(t testing.TB) *Oracle {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	binary, err := kubetest.Cached("helmtest/oracle", "oracle", func(module, binary string) error {
		return build(ctx, module, binary, ".")
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, binary)
	home := t.TempDir()
	cmd.Env = []string{"HOME=" + home, "KUBECONFIG=" + filepath.Join(home, "none"), "TMPDIR=" + os.TempDir()}
	in, errIn := cmd.StdinPipe()
	out, errOut := cmd.StdoutPipe()
	if err := errors.Join(errIn, errOut, cmd.Start()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
	})
	return &Oracle{in: json.NewEncoder(in), out: json.NewDecoder(out)}
}

// Version is one of the versions of Helm of an Oracle.
type Version struct {
	oracle *Oracle
	major  int
}

// Version returns a major version of Helm, 3 or 4.
func (o *Oracle) Version(major int) Version { return Version{o, major} }

// Template is Helm.Template.
func (v Version) Template(_ context.Context, args ...string) ([]Document, error) {
	v.oracle.mu.Lock()
	defer v.oracle.mu.Unlock()
	var answer struct{ Out, Error string }
	if err := v.oracle.in.Encode(map[string]any{"Major": v.major, "Args": args}); err != nil {
		return nil, err
	}
	if err := v.oracle.out.Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, errors.New(answer.Error)
	}
	return documents(answer.Out), nil
}
