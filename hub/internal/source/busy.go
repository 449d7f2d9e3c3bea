package source

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/navefleet/nave/hub/internal/dial"
)

// Limits of how long a server may ask the hub to wait.
const (
	leastWait = time.Second
	usualWait = time.Minute // if a server refuses more requests and does not say for how long
	mostWait  = time.Hour
)

// BusyError is the error of a server that takes no more requests until a time. It is ErrUnreachable.
type BusyError struct {
	Server string    `json:"server"` // as ServerOf returns it
	Until  time.Time `json:"until"`
	Text   string    `json:"text"`
}

func (e *BusyError) Error() string { return e.Text }
func (*BusyError) Unwrap() error   { return ErrUnreachable }

// Wait returns how long to wait from now, within limits, whatever the server says.
func (e *BusyError) Wait(now time.Time) time.Duration {
	return min(max(e.Until.Sub(now), leastWait), mostWait)
}

// NewBusyError returns the error of an answer by which the server at an origin asks for fewer requests: 429, and 503
// with a Retry-After. If the answer is another one, NewBusyError returns nil.
func NewBusyError(answer *http.Response, origin *url.URL, now time.Time) *BusyError {
	wait, told := retryAfter(answer.Header.Get("Retry-After"), now)
	limited := answer.StatusCode == http.StatusTooManyRequests
	if !limited && (answer.StatusCode != http.StatusServiceUnavailable || !told) {
		return nil
	}
	e := &BusyError{Server: ServerOf(origin.String()), Until: now.Add(wait)}
	e.Until = now.Add(e.Wait(now)).UTC()
	text := "registry " + origin.Host + " asks to wait until "
	if !told {
		text = "registry " + origin.Host + " takes no more requests for now; the hub waits until "
	}
	e.Text = text + e.Until.Format(time.TimeOnly) + " UTC: it answers " + strconv.Itoa(answer.StatusCode) + " " +
		http.StatusText(answer.StatusCode)
	return e
}

// retryAfter returns how long a header Retry-After asks to wait, and whether it does.
func retryAfter(text string, now time.Time) (time.Duration, bool) {
	if seconds, err := strconv.ParseUint(text, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second, true
	}
	if at, err := http.ParseTime(text); err == nil {
		return at.Sub(now), true
	}
	return usualWait, false
}

// ServerOf returns the server of a URL as host:port, with one name for Docker Hub. If the URL has no host, ServerOf
// returns "".
func ServerOf(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Hostname() == "" {
		return ""
	}
	if u.Scheme == "oci" {
		u.Scheme = "https"
	}
	if u.Host == "index.docker.io" {
		u.Host = "docker.io"
	}
	return dial.AddressOf(u)
}
