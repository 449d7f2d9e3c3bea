package reference

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/navefleet/nave/e2e/kubetest"
)

// excuse is a command that no test runs: the begin of a line in shell blocks of a document, and why.
type excuse struct{ document, command, reason string }

const (
	noSystemd = "systemd is not process 1 where tests run; TestUnits checks the units"
	noMachine = "it is about another machine"
	noRoot    = "it changes the users of the machine"
	noImages  = "it builds images, and Pods of the tests run none"
	built     = "the tests build the programs in the same manner, once"
	endless   = "it runs until Ctrl-C"
)

// excused has all commands of documents that no test runs.
var excused = []excuse{
	{"README.md", "make demo", endless},
	{"README.md", "make images", noImages},
	{"README.md", "make build", built},
	{"docs/cli/nave.md", "nave bootstrap --url ssh://", "it needs sshd; the story ssh.txtar runs it"},
	{"docs/cli/nave.md", "nave cluster add", "examples/fleet/README.md has it"},
	{"docs/cli/nave.md", "nave cluster upgrade", "docs/operations.md has it"},
	{"docs/cli/nave.md", "nave confirm", "nothing is held; the story removals.txtar runs it"},
	{"docs/cli/nave.md", "nave events -w", endless},
	{"docs/cli/nave.md", "nave export clusters | nave --context other", "it needs a second hub"},
	{"docs/cli/nave.md", "nave logs -f", endless},
	{"docs/cli/nave.md", "nave migrate flux", "no cluster runs Flux; docs/migrate-from-flux.md has it"},
	{"docs/cli/nave.md", "nave rollout", "the Fleets of the example have no rollouts; docs/rollouts.md has the commands"},
	{"docs/metrics.md", "kubectl -n nave-hub port-forward", "no kubelet runs the Pods of the tests"},
	{"docs/quick-start.md", "make build", built},
	{"docs/services.md", "chown", noRoot},
	{"docs/services.md", "journalctl", noSystemd},
	{"docs/services.md", "systemctl", noSystemd},
	{"docs/services.md", "useradd", noRoot},
	{"docs/services.md", "(umask 077 && ssh", noMachine},
}

// Document returns the text of a document of the checkout without the commands of its shell blocks that no test can
// run.
func Document(name string) (string, error) {
	checkout, err := kubetest.Root()
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(checkout, name))
	if err != nil {
		return "", err
	}
	document, _ := runnable(name, string(text))
	return document, nil
}

// runnable returns a document without its excused commands, and how often each excuse was needed.
func runnable(name, text string) (string, map[excuse]int) {
	needed := map[excuse]int{}
	return shellBlock.ReplaceAllStringFunc(text, func(block string) string {
		var kept strings.Builder
		left := false // the line before, which goes on in this one
		for line := range strings.Lines(block) {
			if !left {
				for _, e := range excused {
					if e.document == name && strings.HasPrefix(strings.TrimLeft(line, " "), e.command) {
						needed[e]++
						left = true
					}
				}
			}
			if !left {
				fmt.Fprint(&kept, line)
			}
			left = left && strings.HasSuffix(line, "\\\n")
		}
		return kept.String()
	}), needed
}
