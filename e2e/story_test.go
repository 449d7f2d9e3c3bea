package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/navefleet/nave/e2e/forgetest"
	"github.com/navefleet/nave/e2e/gittest"
	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
	"github.com/navefleet/nave/e2e/ocitest"
	"github.com/navefleet/nave/e2e/s3test"
	"github.com/navefleet/nave/e2e/sopstest"
)

// story is what the commands of one script share.
type story struct {
	tb   testing.TB
	ts   *testscript.TestScript // of the line that runs now
	dir  string                 // of the fleet
	work string                 // where the script's files are

	fleet        *harness.Fleet // nil before "hub start"
	spokes       map[string]*harness.Spoke
	repositories map[string]*gittest.Repository
	gitServers   map[string]*gittest.Server // of "gitserver", by the repository
	disks        map[string]*harness.Disk   // by "hub" or the cluster
	registry     *ocitest.Server            // nil before "ociserver"
	buckets      *s3test.Server             // nil before "bucket"
	pushed       string                     // the digest of the last "push"
	cleanups     []func() error

	age, pgp *sopstest.Key
	keyServices
	tap      *tap              // nil before "tap new"
	forge    *forgetest.Server // nil before "forge new"
	receiver *receiver         // nil before "receiver start"
	// nil before "helmcontroller"
	helmController *helmController
	remembered     map[string]string
	begun          map[string]*begun
	said           bytes.Buffer // everything the CLI wrote

	stdout, stderr bytes.Buffer // of the line that runs now
	printed        bool         // by the line that runs now, if only nothing
}

func newStory(tb testing.TB, dir, work string) (*story, error) {
	s := &story{
		tb: tb, dir: dir, work: work,
		spokes: map[string]*harness.Spoke{}, repositories: map[string]*gittest.Repository{}, remembered: map[string]string{},
		disks: map[string]*harness.Disk{}, begun: map[string]*begun{}, gitServers: map[string]*gittest.Server{},
	}
	return s, os.MkdirAll(dir, 0o700)
}

// run runs one command with nothing written yet.
func (s *story) run(ctx context.Context, c command, args []string) error {
	s.stdout.Reset()
	s.stderr.Reset()
	s.printed = false
	return c(ctx, s, args)
}

// end stops what the story started and takes away what it made in the clusters.
func (s *story) end() {
	if s.tb.Failed() {
		s.confess()
	}
	var errs []error
	if s.fleet != nil {
		errs = append(errs, s.fleet.Close())
	}
	for i := len(s.cleanups) - 1; i >= 0; i-- {
		errs = append(errs, s.cleanups[i]())
	}
	for _, c := range lab.Clusters {
		errs = append(errs, clean(context.Background(), c))
	}
	if err := errors.Join(errs...); err != nil {
		s.tb.Errorf("the end of the story: %v", err)
	}
}

// confess shows what the daemons said last, for whoever must find out why a story failed.
func (s *story) confess() {
	if s.fleet == nil {
		return
	}
	s.tb.Logf("the hub said last:\n%s", s.fleet.Hub.Tail())
	for name, spoke := range s.spokes {
		s.tb.Logf("the spoke of %s said last:\n%s", name, spoke.Tail())
	}
	if explained, _ := s.fleet.Nave(context.Background(), "--timeout=5s", "explain"); explained != "" {
		s.tb.Logf("nave explain:\n%s", explained)
	}
}

// path is a file of the script.
func (s *story) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(s.work, filepath.FromSlash(name))
}

var errNoHub = errors.New(`there is no hub yet: "hub start" comes first`)

// hubCommand starts, stops and kills the hub.
func hubCommand(ctx context.Context, s *story, args []string) (err error) {
	if len(args) == 0 {
		return errors.New("hub start | stop | kill | forget")
	}
	switch {
	case args[0] == "start" && s.fleet == nil:
		if s.fleet, err = lab.NewFleetIn(ctx, s.dir, args[1:]...); err == nil {
			s.repositories["repo"] = s.fleet.Repo
			s.ts.Setenv("repo_url", s.fleet.Repo.URL())
		}
		return err
	case s.fleet == nil:
		return errNoHub
	case args[0] == "start":
		s.fleet.Hub.Args = append(s.fleet.Hub.Args, args[1:]...)
		return s.fleet.Hub.Start(ctx)
	case args[0] == "stop":
		return s.fleet.Hub.Stop()
	case args[0] == "kill":
		return s.fleet.Hub.Kill()
	case args[0] == "forget": // the store is lost, the keys are not
		return os.Remove(filepath.Join(s.fleet.Dir, "hub", "hub.db"))
	}
	return fmt.Errorf("unknown %q", args[0])
}

func clusterOf(name string) (*kubetest.Cluster, error) {
	for _, c := range lab.Clusters {
		if c.Name == name {
			return c, nil
		}
	}
	return nil, fmt.Errorf("there is no cluster %q", name)
}

func join(ctx context.Context, s *story, args []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	cluster, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	s.spokes[cluster.Name], err = s.fleet.Join(ctx, cluster, args[1:]...)
	return err
}

func (s *story) spoke(name string) (*harness.Spoke, error) {
	if spoke := s.spokes[name]; spoke != nil {
		return spoke, nil
	}
	return nil, fmt.Errorf("no spoke of %q has joined", name)
}

func rejoin(ctx context.Context, s *story, args []string) error {
	spoke, err := s.spoke(args[0])
	if err != nil {
		return err
	}
	if len(args) > 2 && args[1] == "as" {
		return s.fleet.RejoinAs(ctx, spoke, args[2], args[3:]...)
	}
	return s.fleet.Rejoin(ctx, spoke, args[1:]...)
}

// spoke starts, stops, kills a spoke, takes its disk away or spoils it, or makes it forget who it is: identity and
// state.
func spoke(ctx context.Context, s *story, args []string) error {
	if len(args) < 2 {
		return errors.New("spoke CLUSTER start | stop | kill | wipe | spoil | forget")
	}
	p, err := s.spoke(args[0])
	if err != nil {
		return err
	}
	switch args[1] {
	case "start":
		p.Args = append(p.Args, args[2:]...)
		return p.Start(ctx)
	case "stop":
		return p.Stop()
	case "kill":
		return p.Kill()
	case "wipe":
		return os.RemoveAll(filepath.Join(p.Dir, "state"))
	case "spoil":
		return spoil(filepath.Join(p.Dir, "state", "spoke.db"))
	case "forget":
		return errors.Join(p.Cluster.Delete(ctx, "Secret", "nave-system", "nave-spoke-identity"),
			os.RemoveAll(filepath.Join(p.Dir, "state")))
	}
	return fmt.Errorf("unknown %q", args[1])
}

// spoil overwrites the middle of a file and cuts its end off.
func spoil(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	middle := data[len(data)/4 : len(data)/2]
	for i := range middle {
		middle[i] = byte(7 * i)
	}
	return os.WriteFile(path, data[:len(data)/2], 0o600)
}

// commit makes one commit that brings a repository to what the folder of its name has.
func commit(_ context.Context, s *story, args []string) error {
	name := "repo"
	if len(args) > 1 && args[0] == "-to" {
		name, args = args[1], args[2:]
	}
	repository := s.repositories[name]
	if repository == nil || len(args) != 1 {
		return fmt.Errorf("commit [-to REPOSITORY] MESSAGE; there is no repository %q, or no message", name)
	}
	files, err := filesBelow(s.path(name))
	if err != nil {
		return err
	}
	old, err := filesBelow(repository.WorkTree())
	if err != nil {
		return err
	}
	change := gittest.Change{Files: files, Message: args[0]}
	for path := range old {
		if _, kept := files[path]; !kept {
			change.Remove = append(change.Remove, path)
		}
	}
	hash, err := repository.Apply(change)
	s.ts.Setenv("commit", hash)
	return err
}

// filesBelow reads a folder, without .git.
func filesBelow(dir string) (map[string]string, error) {
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.Name() == ".git":
			return filepath.SkipDir
		case e.IsDir():
			return nil
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		below, err := filepath.Rel(dir, path)
		files[filepath.ToSlash(below)] = string(b)
		return err
	})
	return files, err
}

func gitCommand(_ context.Context, s *story, args []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	faults := map[string]gittest.Fault{"error": gittest.Error, "drop": gittest.Drop, "stall": gittest.Stall}
	switch {
	case len(args) == 1 && args[0] == "heal":
		s.fleet.Git.Heal()
	case len(args) == 2 && args[0] == "break" && faults[args[1]] != gittest.None:
		s.fleet.Git.Break(faults[args[1]])
	case len(args) > 1 && s.repositories[args[1]] != nil:
		return s.configureGit(args[0], args[1], args[2:])
	default:
		return errors.New("git break error|drop|stall | heal | refuse|accept|password REPOSITORY")
	}
	return nil
}

// configureGit changes what a repository, or its server, lets clients do.
func (s *story) configureGit(verb, name string, args []string) error {
	repository, server := s.repositories[name], s.gitServers[name]
	switch {
	case verb == "refuse" && len(args) == 1:
		return repository.Refuse(args[0])
	case verb == "accept" && len(args) == 0:
		return repository.Accept()
	case verb == "password" && len(args) == 1 && server != nil:
		server.SetPassword(args[0])
		return nil
	}
	return errors.New("git refuse REPOSITORY MESSAGE | accept REPOSITORY | password REPOSITORY WORD")
}

func gitServer(_ context.Context, s *story, args []string) error {
	options := gittest.Options{Push: true}
	if len(args) == 3 {
		options.Username, options.Password = args[1], args[2]
	}
	server, err := gittest.Start(options)
	if err != nil {
		return err
	}
	s.cleanups = append(s.cleanups, server.Close)
	repository, err := server.NewRepository(args[0])
	if err != nil {
		return err
	}
	s.repositories[args[0]], s.gitServers[args[0]] = repository, server
	address, err := url.Parse(repository.URL())
	if err != nil {
		return err
	}
	s.ts.Setenv(args[0]+"_url", repository.URL())
	s.ts.Setenv(args[0]+"_host", address.Host)
	return nil
}

// fileServer serves a folder of the story over HTTP.
func fileServer(_ context.Context, s *story, args []string) error {
	server := httptest.NewServer(http.FileServer(http.Dir(s.ts.MkAbs(args[0]))))
	s.cleanups = append(s.cleanups, func() error { server.Close(); return nil })
	s.ts.Setenv(args[0]+"_url", server.URL)
	s.ts.Setenv(args[0]+"_host", strings.TrimPrefix(server.URL, "http://"))
	return nil
}

// sshServer serves the fleet's repository over SSH as well.
func sshServer(_ context.Context, s *story, _ []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	server, err := s.fleet.Git.StartSSH()
	if err != nil {
		return err
	}
	s.cleanups = append(s.cleanups, server.Close)
	s.ts.Setenv("ssh_url", server.URL(s.fleet.Repo))
	identity, err := server.Identity("")
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(s.path("id"), identity, 0o600),
		os.WriteFile(s.path("known_hosts"), server.KnownHosts(), 0o600))
}

// hasSSHD reports whether this machine can serve Git over SSH. Where CI=true it must.
func hasSSHD() bool {
	_, err := os.Stat("/usr/sbin/sshd")
	return err == nil || os.Getenv("CI") == "true"
}

func bootstrap(ctx context.Context, s *story, args []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	if !strings.Contains(strings.Join(args, " "), "--url") {
		args = append([]string{"--url=" + s.fleet.Repo.URL()}, args...)
	}
	return naveCommand(ctx, s, append([]string{"bootstrap", "--branch=main", "--path=hub", "--interval=1h"}, args...))
}

func synchronize(ctx context.Context, s *story, _ []string) error {
	return naveCommand(ctx, s, []string{"reconcile", "source", "git", "hub"})
}

// naveCommand runs the CLI as the first operator.
func naveCommand(ctx context.Context, s *story, args []string) error {
	if s.fleet == nil {
		return errNoHub
	}
	stdout, stderr, err := s.fleet.RunNave(ctx, nil, s.absolute(args)...)
	s.printed = true
	s.stdout.WriteString(stdout)
	s.stderr.WriteString(stderr)
	s.said.WriteString(stdout + stderr)
	return err
}

// absolute makes relative paths among the arguments those of the script's files.
func (s *story) absolute(args []string) []string {
	out := make([]string, len(args))
	for i, a := range args {
		flag, value, isFlag := strings.Cut(a, "=")
		if !isFlag || !strings.HasPrefix(flag, "-") {
			flag, value = "", a
		} else {
			flag += "="
		}
		if _, err := os.Stat(s.path(value)); err == nil && value != "" &&
			(flag != "" || i > 0 && strings.HasPrefix(args[i-1], "-")) {
			value = s.path(value)
		}
		out[i] = flag + value
	}
	return out
}

// says runs a command and wants its standard output to match, whatever its exit code: nave explain ends with 1 when
// something is wrong.
func says(ctx context.Context, s *story, args []string) error {
	if len(args) < 2 {
		return errors.New("says REGEXP COMMAND…")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	if err != nil {
		return err
	}
	c, rest, err := find(args[1:])
	if err != nil {
		return err
	}
	err = s.run(ctx, c, rest)
	if !pattern.Match(s.stdout.Bytes()) {
		return errors.Join(err, fmt.Errorf("no match for %q in:\n%s", args[0], s.stdout.String()))
	}
	return nil
}

func replace(_ context.Context, s *story, args []string) error {
	if len(args) != 3 {
		return errors.New("replace FILE OLD NEW")
	}
	b, err := os.ReadFile(s.path(args[0]))
	if err != nil {
		return err
	}
	text := strings.ReplaceAll(string(b), args[1], args[2])
	if text == string(b) {
		return fmt.Errorf("%s has no %q", args[0], args[1])
	}
	return os.WriteFile(s.path(args[0]), []byte(text), 0o644)
}
