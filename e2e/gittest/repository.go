package gittest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Repository is one bare repository of a Server and a work tree to commit from.
type Repository struct {
	name string
	url  string
	bare string
	work string

	mu sync.Mutex // one git command at a time
}

// Change is what one commit changes.
type Change struct {
	// Files are written, by their slash-separated paths.
	Files map[string]string
	// Symlinks are made: path to target.
	Symlinks map[string]string
	// Remove are deleted, files or whole folders.
	Remove []string
	// Executable are paths that get the executable bit.
	Executable []string
	// Message of the commit; empty: "change".
	Message string
	// Date of the commit, of author and committer; zero: now.
	Date time.Time
}

// NewRepository makes an empty repository whose first branch is main. It is served at URL()/name.git.
func (s *Server) NewRepository(name string) (*Repository, error) {
	r := &Repository{
		name: name,
		url:  s.base + "/" + name + ".git",
		bare: filepath.Join(s.dir, name+".git"),
		work: filepath.Join(s.dir, "work", name),
	}
	if err := os.MkdirAll(r.work, 0o755); err != nil {
		return nil, err
	}
	if _, err := r.run(s.dir, "init", "-q", "--bare", "-b", "main", r.bare); err != nil {
		return nil, err
	}
	if s.options.Push {
		if err := r.Configure("http.receivepack", "true"); err != nil {
			return nil, err
		}
	}
	if _, err := r.run(r.work, "init", "-q", "-b", "main"); err != nil {
		return nil, err
	}
	_, err := r.run(r.work, "remote", "add", "origin", r.bare)
	return r, err
}

// URL returns the address to fetch from.
func (r *Repository) URL() string { return r.url }

// Dir returns the bare repository's directory.
func (r *Repository) Dir() string { return r.bare }

// WorkTree returns the directory that commits are made in. Who changes it by hand, calls Commit with no files after.
func (r *Repository) WorkTree() string { return r.work }

// Configure sets a configuration variable of the served repository, such as uploadpack.allowFilter.
func (r *Repository) Configure(key, value string) error {
	_, err := r.run(r.bare, "config", key, value)
	return err
}

// Refuse makes the served repository refuse every push with a message, by a hook, until Accept.
func (r *Repository) Refuse(message string) error {
	hook := "#!/bin/sh\ncat >&2 <<'EOF'\n" + message + "\nEOF\nexit 1\n"
	return os.WriteFile(r.hook(), []byte(hook), 0o755)
}

// Accept ends what Refuse began.
func (r *Repository) Accept() error { return os.Remove(r.hook()) }

func (r *Repository) hook() string { return filepath.Join(r.bare, "hooks", "pre-receive") }

// Commit writes files, by their slash-separated paths, beside what is there, commits everything on the current branch
// and pushes it. It returns the commit's hash.
func (r *Repository) Commit(files map[string]string, message string) (string, error) {
	return r.Apply(Change{Files: files, Message: message})
}

// Remove deletes files or folders, commits and pushes.
func (r *Repository) Remove(message string, paths ...string) (string, error) {
	return r.Apply(Change{Remove: paths, Message: message})
}

// Apply makes one commit of c and pushes it. It returns the commit's hash.
func (r *Repository) Apply(c Change) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.write(c); err != nil {
		return "", err
	}
	message := c.Message
	if message == "" {
		message = "change"
	}
	if _, err := r.run(r.work, "add", "-A", "-f"); err != nil {
		return "", err
	}
	var env []string
	if !c.Date.IsZero() {
		env = []string{"GIT_AUTHOR_DATE=" + c.Date.Format(time.RFC3339), "GIT_COMMITTER_DATE=" + c.Date.Format(time.RFC3339)}
	}
	if _, err := r.runIn(env, r.work, "commit", "-q", "--allow-empty", "--no-verify", "-m", message); err != nil {
		return "", err
	}
	if _, err := r.run(r.work, "push", "-q", "--force", "origin", "HEAD"); err != nil {
		return "", err
	}
	return r.run(r.work, "rev-parse", "HEAD")
}

// write brings the work tree to what c says.
func (r *Repository) write(c Change) error {
	for _, path := range c.Remove {
		if err := os.RemoveAll(r.path(path)); err != nil {
			return err
		}
	}
	for path, content := range c.Files {
		if err := r.place(path, func(file string) error { return os.WriteFile(file, []byte(content), 0o644) }); err != nil {
			return err
		}
	}
	for path, target := range c.Symlinks {
		if err := r.place(path, func(file string) error { return os.Symlink(target, file) }); err != nil {
			return err
		}
	}
	for _, path := range c.Executable {
		if err := os.Chmod(r.path(path), 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (r *Repository) path(p string) string { return filepath.Join(r.work, filepath.FromSlash(p)) }

// place makes the folders above a path, and lets put write it.
func (r *Repository) place(path string, put func(file string) error) error {
	file := r.path(path)
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	if err := put(file); !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := os.Remove(file); err != nil {
		return err
	}
	return put(file)
}

// Branch switches to a branch, made from the current commit if it is new, and pushes it.
func (r *Repository) Branch(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := r.run(r.work, "checkout", "-q", name); err == nil {
		return nil
	}
	if _, err := r.run(r.work, "checkout", "-q", "-b", name); err != nil {
		return err
	}
	_, err := r.run(r.work, "push", "-q", "origin", name)
	return err
}

// Tag puts a lightweight tag on the current commit, or moves it there, and pushes it.
func (r *Repository) Tag(name string) error { return r.tag(name, "tag", "-f", name) }

// AnnotatedTag is Tag with a tag object.
func (r *Repository) AnnotatedTag(name, message string) error {
	return r.tag(name, "tag", "-f", "-a", "-m", message, name)
}

func (r *Repository) tag(name string, args ...string) error {
	if _, err := r.Git(args...); err != nil {
		return err
	}
	_, err := r.Git("push", "-q", "--force", "origin", "refs/tags/"+name)
	return err
}

// Reset moves the current branch back to a commit and pushes that, as a force push does.
func (r *Repository) Reset(commit string) error {
	if _, err := r.Git("reset", "-q", "--hard", commit); err != nil {
		return err
	}
	_, err := r.Git("push", "-q", "--force", "origin", "HEAD")
	return err
}

// Sync brings the work tree to what somebody else has pushed to the current branch.
func (r *Repository) Sync() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	branch, err := r.run(r.work, "branch", "--show-current")
	if err == nil {
		_, err = r.run(r.work, "fetch", "-q", "origin", branch)
	}
	if err == nil {
		_, err = r.run(r.work, "reset", "-q", "--hard", "FETCH_HEAD")
	}
	return err
}

// Git runs any git command in the work tree and returns its output, trimmed.
func (r *Repository) Git(args ...string) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.run(r.work, args...)
}

func (r *Repository) run(dir string, args ...string) (string, error) {
	return r.runIn(nil, dir, args...)
}

func (r *Repository) runIn(env []string, dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = append(append(gitEnv(dir), "PATH="+os.Getenv("PATH")), env...)
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, strings.TrimSpace(string(exit.Stderr)))
		}
		return "", fmt.Errorf("git %s in %s: %w", strings.Join(args, " "), r.name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// gitEnv keeps git away from the configuration of whoever runs this.
func gitEnv(home string) []string {
	return []string{
		"HOME=" + home, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_TERMINAL_PROMPT=0", "LC_ALL=C",
		"GIT_AUTHOR_NAME=gittest", "GIT_AUTHOR_EMAIL=gittest@example.com",
		"GIT_COMMITTER_NAME=gittest", "GIT_COMMITTER_EMAIL=gittest@example.com",
	}
}
