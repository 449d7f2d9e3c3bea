package faults_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// killInPreview: the spoke, the hub or the client dies while the spoke previews what a checkout would change, or the
// client waits no longer. The spoke's request ends, the client says how to go on, and the next question is answered:
// nothing is left open. Then the spoke applies what was previewed.
func killInPreview(m *middle) {
	m.push("shown", m.give("", "shown", "one"))
	before := m.have("shown", "one")
	m.inSync()
	checkout := m.checkout(m.give("", "shown", "two"))
	nobody := func() error { return nil }
	for _, c := range []struct {
		who    string
		kill   func() error
		again  func(context.Context) error // starts again who was killed
		within string
		want   string // of what the client says
	}{
		{"spoke", nil, m.Start, "60s", "on middle: the spoke lost its connection: try again"},
		{"hub", m.stand.Hub.Kill, m.stand.Hub.Start, "60s", "of context nave ended: see whether the hub runs"},
		{"patience", nobody, nil, "2s", "on middle: the spoke did not answer within 2s"},
		{"client", nil, nil, "60s", "killed"},
	} {
		ctx, cancel := context.WithCancel(m.t.Context())
		if c.who == "client" {
			c.kill = func() error { cancel(); return nil }
		}
		m.kube.plan(kill{method: "PATCH", nth: 3, who: c.kill})
		said := make(chan string, 1)
		go func() {
			text := m.preview(ctx, checkout, c.within)
			said <- text
		}()
		m.kube.await()
		m.kube.awaitEnd()
		if text := <-said; !strings.Contains(text, c.want) {
			m.t.Errorf("%s: the client says\n%s\nwant %q", c.who, text, c.want)
		}
		cancel()
		if c.again != nil {
			must(m.t, c.again(m.t.Context()))
		}
		m.inSync()
		started := time.Now()
		text := m.preview(m.t.Context(), checkout, "60s")
		if strings.Contains(text, "could be asked") || !strings.Contains(text, piece("shown", pieces-1)+" changed") {
			m.t.Errorf("%s: the next question: %s", c.who, text)
		}
		if took := time.Since(started); took > 20*time.Second {
			m.t.Errorf("%s: the next question took %s", c.who, took)
		}
		m.stay("shown", "one", before)
	}
	m.push("previewed", m.give("", "shown", "two"))
	m.stay("shown", "two", before)
}

// checkout returns a copy of the Git work tree with other files in the cluster's folder.
func (m *middle) checkout(files map[string]string) string {
	m.t.Helper()
	dir := filepath.Join(m.t.TempDir(), "checkout")
	m.stand.git.Lock()
	defer m.stand.git.Unlock()
	must(m.t, os.CopyFS(dir, os.DirFS(m.stand.Repo.WorkTree())))
	for name, text := range files {
		must(m.t, os.WriteFile(filepath.Join(dir, "clusters", m.name, name), []byte(text), 0o644))
	}
	return dir
}

// preview asks the cluster what a checkout would change, and returns all that the client says.
func (m *middle) preview(ctx context.Context, checkout, within string) string {
	out, err := m.stand.Nave(ctx, "diff", "cluster", m.name, checkout, "--live", "--timeout="+within)
	if err != nil {
		out += err.Error()
	}
	return out
}
