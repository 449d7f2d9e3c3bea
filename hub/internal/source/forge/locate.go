package forge

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/navefleet/nave/hub/internal/source"
)

// location is a repository in the terms of its server.
type location struct {
	api         *url.URL
	web         *url.URL // of the pages for people, without the repository
	owner, name string   // the owner is a user, an organization, a group with slashes, or a project
}

// locate finds the API and the repository of the URL that it is cloned from.
func locate(provider string, repository *url.URL) (location, error) {
	find, ok := finders[provider]
	if !ok {
		return location{}, unknown(provider)
	}
	server := &url.URL{Scheme: repository.Scheme, Host: repository.Host, Path: "/"}
	if server.Scheme == "ssh" {
		server = &url.URL{Scheme: "https", Host: repository.Hostname(), Path: "/"}
	}
	path := strings.TrimSuffix(strings.Trim(repository.Path, "/"), ".git")
	at, ok := find(server, strings.Split(path, "/"))
	if !ok || slices.Contains([]string{"", ".", ".."}, at.name) {
		return location{}, fmt.Errorf("%w: %s is not the URL of a repository of the provider %s", source.ErrRequest,
			source.Quote(source.Redact(repository.String())), provider)
	}
	return at, nil
}

// finders find a repository by its server and the steps of its path.
var finders = map[string]func(server *url.URL, steps []string) (at location, ok bool){
	GitHub: func(server *url.URL, steps []string) (location, bool) {
		at, ok := lastTwo(server, steps, "api/v3")
		if isOneOf(server, "github.com", "ssh.github.com", "www.github.com") {
			at.api = &url.URL{Scheme: "https", Host: "api.github.com", Path: "/"}
		}
		return at, ok && len(steps) == 2
	},
	GitLab: func(server *url.URL, steps []string) (location, bool) {
		last := len(steps) - 1
		return location{server.JoinPath("api/v4"), server, strings.Join(steps[:last], "/"), steps[last]}, last > 0
	},
	Gitea: func(server *url.URL, steps []string) (location, bool) { return lastTwo(server, steps, "api/v1") },
	Bitbucket: func(server *url.URL, steps []string) (location, bool) {
		at, ok := lastTwo(server, steps, "2.0")
		if isOneOf(server, "bitbucket.org", "altssh.bitbucket.org", "www.bitbucket.org") {
			at.api = &url.URL{Scheme: "https", Host: "api.bitbucket.org", Path: "/2.0"}
		}
		return at, ok && len(steps) == 2
	},
	BitbucketServer: func(server *url.URL, steps []string) (location, bool) {
		if n := len(steps) - 3; n >= 0 && steps[n] == "scm" {
			steps = slices.Delete(steps, n, n+1)
		}
		return lastTwo(server, steps, "rest/api/1.0")
	},
	AzureDevOps: findAzure,
}

func isOneOf(server *url.URL, hosts ...string) bool {
	return slices.Contains(hosts, strings.ToLower(server.Hostname()))
}

// lastTwo finds owner and name in the last two steps. The steps before are of the server, and api is below those.
func lastTwo(server *url.URL, steps []string, api string) (location, bool) {
	n := len(steps) - 2
	if n < 0 || steps[n] == "" {
		return location{}, false
	}
	web := server.JoinPath(steps[:n]...)
	return location{web.JoinPath(api), web, steps[n], steps[n+1]}, true
}

// findAzure finds a repository of the form organization/project/_git/name, or v3/organization/project/name for ssh. The
// project may lack if it is called like the repository; the organization is in the host of older addresses.
func findAzure(server *url.URL, steps []string) (location, bool) {
	if isOneOf(server, "ssh.dev.azure.com") {
		if len(steps) != 4 {
			return location{}, false
		}
		server = &url.URL{Scheme: "https", Host: "dev.azure.com", Path: "/"}
		steps = []string{steps[1], steps[2], "_git", steps[3]}
	}
	n := len(steps) - 2
	if n < 0 || steps[n] != "_git" {
		return location{}, false
	}
	above, name := steps[:n], steps[n+1]
	least := 2
	if strings.HasSuffix(strings.ToLower(server.Hostname()), ".visualstudio.com") {
		least = 1
	}
	if len(above) < least {
		above = append(slices.Clone(above), name)
	}
	project := len(above) - 1
	web := server.JoinPath(above[:project]...)
	return location{web, web, above[project], name}, project >= least-1
}
