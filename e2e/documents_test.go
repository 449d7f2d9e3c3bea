package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/reference"
)

// The commands of the quick start do what it says, from two empty clusters, in one shell, and so do those about
// maintenance, which go on from its section 6. Before those, the spoke of west gets no more rights than it needs, by
// docs/services.md; after them it joins anew as a service. At last a further Fleet is as docs/fleets.md has it.
func TestQuickStart(t *testing.T) {
	quickStart, end := cutDocument(t, readDocument(t, "docs/quick-start.md"), endOfQuickStart)
	hub, spoke := cutDocument(t, readDocument(t, "docs/services.md"), "\n## A spoke\n")
	said := runDocument(t, quickStart+withSteps(t, hub, serviceSteps)+
		withSteps(t, readDocument(t, "docs/maintenance.md"), checks)+withSteps(t, spoke, newSpokeSteps)+
		withFleet(t, readDocument(t, "docs/fleets.md"))+end)
	for _, want := range []string{"hello from west", "welcome from east"} {
		if !strings.Contains(said, want) {
			t.Errorf("nothing printed %q", want)
		}
	}
}

// The commands of the tour break the fleet of the quick start in many ways and mend it. Each command that covers what
// is broken exits with the code that the tour names; every other command exits with 0.
func TestTour(t *testing.T) {
	quickStart, _ := cutDocument(t, readDocument(t, "docs/quick-start.md"), endOfQuickStart)
	runDocument(t, quickStart+readDocument(t, "docs/tour.md"))
}

const endOfQuickStart = "\n## Into the clusters"

// cutDocument cuts a document before a text that it has once.
func cutDocument(t *testing.T, document, text string) (before, after string) {
	t.Helper()
	before, after, found := strings.Cut(document, text)
	if !found || strings.Contains(after, text) {
		t.Fatalf("the document does not have %q once", text)
	}
	return before, text + after
}

// step is commands of a test that go before a text of a document.
type step struct{ before, commands string }

// withSteps returns a document with the steps of a test.
func withSteps(t *testing.T, document string, steps []step) string {
	t.Helper()
	for _, s := range steps {
		before, after := cutDocument(t, document, s.before)
		document = before + "\n```sh" + s.commands + "```\n" + after
	}
	return document
}

// readDocument returns a document without the commands that no test can run.
func readDocument(t *testing.T, name string) string {
	t.Helper()
	text, err := reference.Document(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// runDocument runs the sh blocks of a document in one shell that ends with the first command whose exit code is not the
// one that the document names. The clusters east and west, the Git server and the ports are the test's own. runDocument
// returns what the commands printed.
func runDocument(t *testing.T, text string) string {
	t.Helper()
	needsLab(t)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	s := newShell(ctx, t, "east", "west")
	return s.run(ctx, t, s.adapt(t, script(text)))
}

var (
	block = regexp.MustCompile("(?ms)^ *```sh\n(.*?)^ *```")
	exits = regexp.MustCompile(`^(.*\S) +# exits (\d+)(?:: .*)?\n$`)
	// and matches commands that are joined by && alone: bash -e goes on if one of them fails, but for the last one.
	and = regexp.MustCompile(`^[^(){}|]+ && [^(){}|]+$`)
)

// script returns the commands of a document. A command with the comment "# exits N" or "# exits N: why" must exit
// with N.
func script(document string) string {
	var lines strings.Builder
	for _, b := range block.FindAllStringSubmatch(document, -1) {
		for line := range strings.Lines(b[1]) {
			if and.MatchString(line) && !exits.MatchString(line) {
				line = strings.ReplaceAll(line, " && ", "\n")
			}
			lines.WriteString(exits.ReplaceAllString(line,
				"code=0; $1 || code=$$?; [ $$code = $2 ] || { echo \"exits $$code, not $2\"; exit 1; }\n"))
		}
	}
	return lines.String()
}

// shell is a person's machine: a home, tools, two contexts of kubectl, and a Git server with an empty repository.
type shell struct {
	home, bin, url string
	checkout       string
	ports          map[string]string // of the documents, to free ones
}

func newShell(ctx context.Context, t *testing.T, clusters ...string) *shell {
	t.Helper()
	checkout, err := kubetest.Root()
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{home: t.TempDir(), bin: filepath.Join(t.TempDir(), "bin"), checkout: checkout, ports: map[string]string{}}
	if err := os.CopyFS(s.bin, os.DirFS(filepath.Join(lab.Dir, "bin"))); err != nil {
		t.Fatal(err)
	}
	kubectl, err := kubetest.Kubectl(ctx)
	if err := errors.Join(err, os.Symlink(kubectl, filepath.Join(s.bin, "kubectl"))); err != nil {
		t.Fatal(err)
	}
	s.startClusters(ctx, t, clusters)
	server, err := gittest.Start(gittest.Options{Push: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	repository, err := server.NewRepository("fleet")
	if err != nil {
		t.Fatal(err)
	}
	s.url = repository.URL()
	for _, port := range []string{"7443", "7480", "7481", "7482"} {
		s.ports[port] = freePort(t)
	}
	return s
}

// startClusters starts empty clusters, and writes a context for each into the file that kubectl reads.
func (s *shell) startClusters(ctx context.Context, t *testing.T, names []string) {
	t.Helper()
	clusters, errs := make([]*kubetest.Cluster, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			if clusters[i], errs[i] = kubetest.Start(ctx, kubetest.Options{Name: name}); errs[i] == nil {
				t.Cleanup(func() { clusters[i].Stop() })
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	all := clientcmdapi.NewConfig()
	for _, c := range clusters {
		name := c.Name
		one, err := clientcmd.LoadFromFile(c.Kubeconfig)
		if err != nil {
			t.Fatal(err)
		}
		current := one.Contexts[one.CurrentContext]
		all.Clusters[name], all.AuthInfos[name] = one.Clusters[current.Cluster], one.AuthInfos[current.AuthInfo]
		all.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	}
	if err := clientcmd.WriteToFile(*all, filepath.Join(s.home, ".kube", "config")); err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// adapt puts what is the test's own in place of what a document names.
func (s *shell) adapt(t *testing.T, commands string) string {
	t.Helper()
	for _, name := range []string{"https://git.example.com/fleet", "nave-hub --data-dir hub "} {
		if !strings.Contains(commands, name) {
			t.Fatalf("the document lacks %q", name)
		}
	}
	return strings.NewReplacer(
		"https://git.example.com/fleet", s.url,
		"$PWD/bin", s.bin, " bin/", " "+s.bin+"/", " deploy/", " "+s.checkout+"/deploy/",
		"/etc/", s.home+"/etc/", "/usr/local/", s.home+"/usr/local/",
		"nave-hub --data-dir hub ", "nave-hub --data-dir hub --allow-source-address=127.0.0.0/8 "+
			"--listen 127.0.0.1:"+s.ports["7443"]+" --http-listen 127.0.0.1:"+s.ports["7480"]+" ",
		":7443", ":"+s.ports["7443"], ":7480", ":"+s.ports["7480"], ":7481", ":"+s.ports["7481"],
		":7482", ":"+s.ports["7482"],
	).Replace(commands)
}

// run runs commands in bash, and ends everything that they started.
func (s *shell) run(ctx context.Context, t *testing.T, commands string) string {
	t.Helper()
	cmd := exec.Command("bash", "-eux", "-o", "pipefail", "-c", commands)
	cmd.Dir = s.home
	cmd.Env = []string{"HOME=" + s.home, "PATH=" + s.bin + ":" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=an operator", "GIT_AUTHOR_EMAIL=operator@example.com", "GIT_COMMITTER_NAME=an operator",
		"GIT_COMMITTER_EMAIL=operator@example.com"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.WaitDelay = 5 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	end := func() { syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	stop := context.AfterFunc(ctx, end)
	err := cmd.Wait()
	stop()
	end()
	if err != nil {
		t.Fatalf("%v\n%s", errors.Join(err, ctx.Err()), out.String())
	}
	return out.String()
}
