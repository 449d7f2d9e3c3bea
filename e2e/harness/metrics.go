package harness

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Get returns the body of the daemon's answer at a path of its HTTP address, such as /metrics. If the status is not
// 200, Get returns an error.
func (p *Process) Get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.HTTP+path, nil)
	if err != nil {
		return "", err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s%s: %s: %s", p.HTTP, path, answer.Status, text)
	}
	return string(text), err
}

// Metric returns the sum of all series of a metric of the daemon, 0 if there are none. The name may end with labels, as
// the exposition format writes them; a series may have others, too.
func (p *Process) Metric(ctx context.Context, name string) (float64, error) {
	text, err := p.Get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	return sumMetric(text, name)
}

func sumMetric(text, name string) (sum float64, err error) {
	name, labels, _ := strings.Cut(strings.TrimSuffix(name, "}"), "{")
	for line := range strings.Lines(text) {
		rest, found := strings.CutPrefix(strings.TrimSpace(line), name)
		if !found || rest == "" || rest[0] != ' ' && rest[0] != '{' || !strings.Contains(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum += v
	}
	return sum, nil
}
