package agent

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/navefleet/nave/shared/bundle"
	"github.com/navefleet/nave/shared/manifest"
	"github.com/navefleet/nave/spoke/internal/decrypt"
	"github.com/navefleet/nave/spoke/internal/inventory"
)

const (
	// maxKnown is the most bytes that the Redactors of all files take.
	maxKnown = 16 << 20
	// learnPause is the least time before the files of an application are opened again to redact a text.
	learnPause = time.Minute
)

// redactors keeps the Redactors of sealed files by the digests of the files. It holds no values and is safe for
// concurrent use.
type redactors struct {
	mu    sync.Mutex // guards the following
	files map[manifest.Digest]*decrypt.Redactor
	size  int // bytes of files
	// live has the Redactors of the values that each application read from the cluster, now and before.
	live map[bundle.ApplicationName]liveValues
	// generated has the Redactors of generated values.
	generated map[bundle.ApplicationName]generatedRedactors
}

func newRedactors() *redactors {
	return &redactors{files: map[manifest.Digest]*decrypt.Redactor{}, live: map[bundle.ApplicationName]liveValues{},
		generated: map[bundle.ApplicationName]generatedRedactors{}}
}

// clone returns a copy that learns for itself.
func (r *redactors) clone() *redactors {
	r.mu.Lock()
	defer r.mu.Unlock()
	return &redactors{files: maps.Clone(r.files), size: r.size, live: maps.Clone(r.live),
		generated: maps.Clone(r.generated)}
}

// learn keeps the Redactor of a file. If the Redactor would exceed maxKnown, learn keeps one that hides every text.
func (r *redactors) learn(d manifest.Digest, p *decrypt.Plaintext) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.files[d] != nil {
		return
	}
	fresh := p.Redactor()
	if r.size+fresh.Size() > maxKnown {
		fresh = decrypt.HideAll()
	}
	r.files[d] = fresh
	r.size += fresh.Size()
}

// of returns the Redactors of the given files, with those of all other files that hide single values, because an object
// may quote values of another application. It reports whether the Redactors of all given files are known.
func (r *redactors) of(files []manifest.Digest) (known []*decrypt.Redactor, all bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, file := range r.files {
		if !file.HidesAll() || slices.Contains(files, d) {
			known = append(known, file)
		}
	}
	known = append(known, r.ofLive()...)
	return known, !slices.ContainsFunc(files, func(d manifest.Digest) bool { return r.files[d] == nil })
}

// keep forgets all other files.
func (r *redactors) keep(files map[manifest.Digest]bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for d, file := range r.files {
		if !files[d] {
			r.size -= file.Size()
			delete(r.files, d)
		}
	}
}

// sealedFiles are the files that an application has now, and those that it had before, whose values a controller may
// still quote.
type sealedFiles struct {
	now, before []manifest.Digest
	live        bool // the application reads Secrets of the cluster
	generated   bool // the application has generated values
}

// noteSealed notes the sealed files of a bundle's applications. The files of applications that left the bundle stay
// noted until these are deleted.
func (a *Agent) noteSealed(apps applications) {
	for name, app := range apps {
		files := filesOf(app)
		last := a.sealed[name]
		if !slices.Equal(files, last.now) {
			last.before = last.now
		}
		a.sealed[name] = sealedFiles{files, last.before, len(liveSecrets(app)) > 0, len(recipesOf(app)) > 0}
	}
	needed := map[manifest.Digest]bool{}
	for _, files := range a.sealed {
		for _, d := range slices.Concat(files.now, files.before) {
			needed[d] = true
		}
	}
	a.redactors.keep(needed)
}

func filesOf(app *bundle.Application) []manifest.Digest {
	var files []manifest.Digest
	for _, f := range app.SealedFiles {
		files = append(files, f.Digest)
	}
	return files
}

// discretion redacts sealed values in texts about one application.
type discretion struct {
	known []*decrypt.Redactor // of the application, and of others if known
	all   bool                // every value of the application is known
}

// discretion returns the discretion of an application. An application without sealed files has no values to hide. The
// values of an application that left the bundle before this process began are unknown.
func (a *Agent) discretion(name bundle.ApplicationName) discretion {
	files, listed := a.sealed[name]
	known, all := a.redactors.of(files.now)
	return discretion{known, listed && all && (!files.live || a.redactors.hasLive(name)) &&
		(!files.generated || a.redactors.hasGenerated(name))}
}

// text returns a text without the known values.
func (d discretion) text(s string) string { return decrypt.Redact(s, d.known...) }

// said returns the message of a controller about an object of the application without sealed values. If not all values
// are known, said returns leftOut in place of the message, after the reason if that is a single identifier.
func (d discretion) said(o inventory.ObjectHealth) string {
	if d.all || o.Message == "" {
		return d.text(o.Message)
	}
	text := leftOut
	if reasonWord.MatchString(o.Reason) {
		text = o.Reason + " " + leftOut
	}
	return d.text(text)
}

// any returns a text about the application from an unknown author without sealed values. If not all values are known,
// any returns leftOut.
func (d discretion) any(s string) string {
	if d.all {
		return d.text(s)
	}
	return leftOut
}

// leftOut replaces a text that may quote unknown values.
const leftOut = "(the message is left out: it may quote a sealed value, and the values are not known yet)"

// reasonWord matches the reasons of conditions that follow the API conventions, without digits.
var reasonWord = regexp.MustCompile(`^[A-Za-z]{1,64}$`)

// redactor returns a function that redacts the application's sealed values in a text about an object, which may be nil.
// The function opens the files that were not opened yet. Its caller must not hold memory for objects. If the
// application has no secret values, redactor returns nil.
func (l *loader) redactor(ctx context.Context, o *manifest.Object) func(string) string {
	if !holdsSecrets(l.app) {
		return nil
	}
	entries := sync.OnceValue(func() *decrypt.Redactor { return decrypt.DataRedactor(o) })
	return func(text string) string {
		if err := l.learn(ctx); err != nil {
			return fmt.Sprintf("(the message is left out: it may quote a sealed value; %v)", err)
		}
		if len(liveSecrets(l.app)) > 0 && !l.known.hasLive(l.app.Name) {
			return leftOut
		}
		if len(recipesOf(l.app)) > 0 && !l.known.hasGenerated(l.app.Name) {
			return leftOut
		}
		known, _ := l.known.of(filesOf(l.app))
		if o != nil {
			known = append(known, entries())
		}
		return decrypt.Redact(text, known...)
	}
}

// learn opens the files whose values are not known, and reads the Secrets that variables come from.
func (l *loader) learn(ctx context.Context) error {
	if err := l.needSources(ctx); err != nil {
		return err
	}
	if err := l.learnGenerated(ctx); err != nil {
		return err
	}
	for i, file := range l.app.SealedFiles {
		if _, known := l.known.of([]manifest.Digest{file.Digest}); known {
			continue
		}
		if _, err := l.reserve(ctx); err != nil {
			return err
		}
		if _, err := l.open(ctx, i); err != nil {
			return fmt.Errorf("decrypt %s: %w", file.Path, err)
		}
	}
	if len(liveSecrets(l.app)) == 0 {
		return nil
	}
	_, err := l.readLive(ctx)
	return err
}

// startLearning opens the sealed files of an application after a restart, because a text may quote their values.
func (a *Agent) startLearning(name bundle.ApplicationName) {
	n := a.model.nodes[name]
	now := time.Now()
	if n == nil || n.app == nil || a.draining || now.Sub(a.learned[name]) < learnPause {
		return
	}
	a.learned[name] = now
	app := n.app
	a.spawn(func() input {
		l := a.newLoader(a.base, app)
		defer l.close()
		err := l.learn(a.base)
		a.warn("sealed values not known: messages about the application are left out", name, err)
		return learned{name: name, ok: err == nil}
	})
}
