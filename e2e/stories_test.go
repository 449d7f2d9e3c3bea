package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

// patience is how long "eventually" waits when it is not told.
const patience = 60 * time.Second

// command is one word of a story. What it writes to s.stdout and s.stderr the next line can match.
type command func(ctx context.Context, s *story, args []string) error

// commands are the words that stories have beside those of testscript. "! command" wants it to fail.
var commands map[string]command

func init() {
	commands = map[string]command{
		// the fleet
		"hub":  hubCommand, // hub start [FLAG…] | stop | kill | forget
		"join": join,       // join CLUSTER [FLAG of cluster add…]
		// rejoin CLUSTER [as NAME] [FLAG…]: a new join manifest for a spoke that is there, or one of another cluster
		"rejoin": rejoin,
		"spoke":  spoke,  // spoke CLUSTER start | stop | kill | wipe | spoil | forget
		"commit": commit, // commit [-to REPOSITORY] MESSAGE: the repository becomes as the folder of its name
		// git break error|drop|stall | heal: the fleet's server; git refuse REPOSITORY MESSAGE | accept REPOSITORY: pushes to
		// it; git password REPOSITORY WORD: another one from now on
		"git": gitCommand,
		// gitserver NAME [USER PASSWORD]: another server with a repository; sets $NAME_url and $NAME_host
		"gitserver":  gitServer,
		"fileserver": fileServer,  // fileserver FOLDER: serves it over HTTP; sets $FOLDER_url and $FOLDER_host
		"sshserver":  sshServer,   // sshserver: an sshd for the repository; sets $ssh_url, writes id, known_hosts
		"bootstrap":  bootstrap,   // bootstrap [FLAG…]: the hub's root is the repository's folder hub
		"sync":       synchronize, // sync: the hub fetches the repository now
		"nave":       naveCommand, // nave ARG…
		"disk":       disk,        // disk hub|CLUSTER SIZE: before the start; | full | free

		// files
		"replace": replace, // replace FILE OLD NEW
		"objects": objects, // objects COUNT FILE NAMESPACE VALUE: that many ConfigMaps
		"sops":    encrypt, // sops [-pgp | -vault] FILE: encrypt it with the story's key, in the format that its name says
		"embed":   embed,   // embed FILE OLD FROM: replace a text in a file by another file in base64
		// documents FILE FROM…: write files into one, as documents of YAML
		"documents": joinFiles,

		// clusters
		"apply":    applyFile,      // apply CLUSTER FILE, as kubectl does
		"live":     live,           // live CLUSTER KIND [NAMESPACE/]NAME [PATH WANT|@FILE]…
		"gone":     gone,           // gone CLUSTER KIND [NAMESPACE/]NAME
		"count":    count,          // count CLUSTER KIND NAMESPACE NUMBER [LABEL-SELECTOR]
		"edit":     edit,           // edit CLUSTER KIND [NAMESPACE/]NAME MERGE-PATCH
		"delete":   deleteObject,   // delete CLUSTER KIND [NAMESPACE/]NAME
		"remember": remember,       // remember CLUSTER KIND [NAMESPACE/]NAME
		"same":     same,           // same CLUSTER KIND [NAMESPACE/]NAME: nobody wrote to it since
		"key":      createKey,      // key CLUSTER [-pgp | -other] NAMESPACE/NAME: the Secret with the story's key
		"contains": containsStream, // contains CLUSTER FILE: every document of the file is live, field for field

		// what is seen from outside
		"metric":     metric,     // metric hub|CLUSTER NAME OP NUMBER | metric hub|CLUSTER NAME save VARIABLE
		"canary":     canary,     // canary TEXT: no byte that Nave keeps, says or sends through a tap holds it
		"says":       says,       // says REGEXP COMMAND…: the command's standard output matches
		"eventually": eventually, // eventually [DURATION] [!] COMMAND…
	}
	maps.Copy(commands, moreCommands)
	maps.Copy(commands, backgroundCommands)
	maps.Copy(commands, ociCommands)
	maps.Copy(commands, keyCommands)
	maps.Copy(commands, tapCommands)
	maps.Copy(commands, traceCommands)
	maps.Copy(commands, helmCommands)
	maps.Copy(commands, kubeletCommands)
	maps.Copy(commands, forgeCommands)
}

func TestStories(t *testing.T) {
	needsLab(t)
	words := map[string]func(*testscript.TestScript, bool, []string){}
	for name, c := range commands {
		words[name] = func(ts *testscript.TestScript, neg bool, args []string) { tell(ts, name, c, neg, args) }
	}
	testscript.RunT(oneByOne{t}, testscript.Params{
		Dir: "testdata", WorkdirRoot: t.TempDir(), Cmds: words, Setup: setUp, RequireExplicitExec: true,
		RequireUniqueNames: true,
		Condition: func(name string) (bool, error) {
			switch name {
			case "tmpfs":
				return harness.CanMount(), nil
			case "sshd":
				return hasSSHD(), nil
			case "sops":
				return hasSOPS(), nil
			case "registry":
				return hasRegistry(), nil
			case "s3":
				return hasS3(), nil
			}
			return false, fmt.Errorf("unknown condition %s", name)
		},
	})
}

// oneByOne runs stories one after another, for all of them use the same clusters.
type oneByOne struct{ *testing.T }

func (oneByOne) Parallel() {}

func (oneByOne) Verbose() bool { return testing.Verbose() }

func (t oneByOne) Run(name string, story func(testscript.T)) {
	t.T.Run(name, func(t *testing.T) { story(oneByOne{t}) })
}

func setUp(env *testscript.Env) error {
	s, err := newStory(env.T().(testing.TB), filepath.Join(env.WorkDir, ".fleet"), env.WorkDir)
	if err != nil {
		return err
	}
	env.Values[storyKey{}] = s
	root, err := kubetest.Root()
	if err != nil {
		return err
	}
	env.Vars = append(env.Vars, "NAVE_CONFIG="+filepath.Join(s.dir, "hub", "operator.yaml"),
		"XDG_CACHE_HOME="+env.WorkDir, "examples="+filepath.Join(root, "examples"))
	env.Defer(s.end)
	return nil
}

type storyKey struct{}

// tell runs one line of a story.
func tell(ts *testscript.TestScript, name string, c command, neg bool, args []string) {
	s := ts.Value(storyKey{}).(*story)
	s.ts = ts
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	start := time.Now()
	err := s.run(ctx, c, args)
	if s.printed { // other commands leave what the last one printed for the next line to match
		_, _ = ts.Stdout().Write(s.stdout.Bytes())
		_, _ = ts.Stderr().Write(s.stderr.Bytes())
	}
	if d := time.Since(start); d > time.Second {
		ts.Logf("# %s took %.1fs", name, d.Seconds())
	}
	switch {
	case neg && err == nil:
		ts.Fatalf("%s: unexpected success", name)
	case !neg && err != nil:
		ts.Fatalf("%s: %v", name, err)
	}
}

// find looks a command up for one that runs others.
func find(args []string) (command, []string, error) {
	if len(args) == 0 {
		return nil, nil, errors.New("want a command")
	}
	c, ok := commands[args[0]]
	if !ok {
		return nil, nil, fmt.Errorf("unknown command %q: there are %s", args[0],
			strings.Join(slices.Sorted(maps.Keys(commands)), ", "))
	}
	return c, args[1:], nil
}

// eventually runs a command again and again until it does what is wanted.
func eventually(ctx context.Context, s *story, args []string) error {
	limit := patience
	if len(args) > 0 {
		if d, err := time.ParseDuration(args[0]); err == nil {
			limit, args = d, args[1:]
		}
	}
	neg := len(args) > 0 && args[0] == "!"
	if neg {
		args = args[1:]
	}
	c, rest, err := find(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return until(ctx, func() error {
		err := s.run(ctx, c, rest)
		switch {
		case !neg:
			return err
		case err == nil || ctx.Err() != nil: // cut off by the deadline, no command has failed
			return fmt.Errorf("%s: still succeeds", strings.Join(args, " "))
		}
		return nil
	})
}

// until calls check until it returns nil, or returns its last error when ctx ends.
func until(ctx context.Context, check func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last error
	for {
		err := check()
		if err == nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err // not that of the call that the deadline cut off
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waited in vain: %w", last)
		}
	}
}
