package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apiwatch "k8s.io/apimachinery/pkg/watch"

	"github.com/navefleet/nave/e2e/harness"
	"github.com/navefleet/nave/e2e/kubetest"
)

// sight is one ConfigMap as a watch of the API server has just shown it.
type sight struct {
	name    string
	value   string // of its data's "value"
	deleted bool
	at      time.Time
}

// lookout watches the ConfigMaps of a namespace.
type lookout struct {
	watch  apiwatch.Interface
	sights chan sight
}

// watchConfigMaps watches from now on; what is there already is not shown.
func watchConfigMaps(ctx context.Context, c *kubetest.Cluster, namespace string) (*lookout, error) {
	r, err := c.Resource("ConfigMap", namespace)
	if err != nil {
		return nil, err
	}
	list, err := r.List(ctx, metav1.ListOptions{Limit: 1})
	if err != nil {
		return nil, fmt.Errorf("list ConfigMaps: %w", err)
	}
	w, err := r.Watch(ctx, metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
	if err != nil {
		return nil, fmt.Errorf("watch ConfigMaps: %w", err)
	}
	l := &lookout{watch: w, sights: make(chan sight, 4096)}
	go l.run(ctx)
	return l, nil
}

func (l *lookout) run(ctx context.Context) {
	defer close(l.sights)
	for e := range l.watch.ResultChan() {
		o, ok := e.Object.(*unstructured.Unstructured)
		if !ok {
			return // an error of the watch
		}
		value, _, _ := unstructured.NestedString(o.Object, "data", "value")
		select {
		case l.sights <- sight{o.GetName(), value, e.Type == apiwatch.Deleted, time.Now()}:
		case <-ctx.Done():
			return
		}
	}
}

func (l *lookout) stop() { l.watch.Stop() }

// until returns the sight that is what was looked for.
func (l *lookout) until(ctx context.Context, what string, is func(sight) bool) (sight, error) {
	for {
		select {
		case s, open := <-l.sights:
			if !open {
				return s, fmt.Errorf("waited for %s: the watch ended", what)
			}
			if is(s) {
				return s, nil
			}
		case <-ctx.Done():
			return sight{}, fmt.Errorf("waited for %s: %w", what, context.Cause(ctx))
		}
	}
}

// all returns when n different objects have been seen, and when the last of them was.
func (l *lookout) all(ctx context.Context, n int) (time.Time, error) {
	seen := make(map[string]bool, n)
	last, err := l.until(ctx, fmt.Sprintf("%d ConfigMaps", n), func(s sight) bool {
		if !s.deleted && strings.HasPrefix(s.name, objectPrefix) {
			seen[s.name] = true
		}
		return len(seen) == n
	})
	if err != nil {
		return last.at, fmt.Errorf("%w (%d seen)", err, len(seen))
	}
	return last.at, nil
}

// logSize is where the next line of a daemon's log will begin.
func logSize(p *harness.Process) (int64, error) {
	info, err := os.Stat(p.Log)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// firstLogged returns the time of the first line with this message at or after a position of a log. Logs have whole
// milliseconds, cut: a start that is read from one is at most a millisecond too early, so what is measured from it is
// not too short.
func firstLogged(path string, offset int64, message string) (time.Time, error) {
	file, err := os.Open(path)
	if err != nil {
		return time.Time{}, err
	}
	defer file.Close()
	if _, err := file.Seek(offset, io.SeekStart); err != nil {
		return time.Time{}, err
	}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		stamp, rest, _ := strings.Cut(strings.TrimPrefix(line, "time="), " ")
		if strings.Contains(rest, "msg="+strconv.Quote(message)) || strings.Contains(rest, "msg="+message+" ") {
			return time.Parse(time.RFC3339Nano, stamp)
		}
	}
	if err := lines.Err(); err != nil {
		return time.Time{}, err
	}
	return time.Time{}, fmt.Errorf("%s does not say %q after byte %d", path, message, offset)
}
