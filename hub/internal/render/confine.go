package render

import (
	"errors"
	"net/http"
	"os"
)

var errNoNetwork = errors.New("a build has no network")

type noNetwork struct{}

func (noNetwork) RoundTrip(*http.Request) (*http.Response, error) { return nil, errNoNetwork }

// Confine takes HTTP and the search path for programs from this process, for good: it is for a process that does
// nothing else any more. Renderers refuse what is remote before their libraries see it. Confine holds where that is not
// possible: the configuration of a kustomize plugin may come out of a build of its own, where a patch can put in a URL.
func Confine() {
	http.DefaultTransport = noNetwork{}
	http.DefaultClient = &http.Client{Transport: noNetwork{}}
	_ = os.Unsetenv("PATH") // fails for malformed names only
}
