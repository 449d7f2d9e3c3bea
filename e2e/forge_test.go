package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/navefleet/nave/e2e/forgetest"
	"github.com/navefleet/nave/e2e/gittest"
)

var forgeCommands = map[string]command{
	// forge new NAME: a server with the repository org/NAME and its pull requests; sets $NAME_url and $forge_url
	// forge list | merge NUMBER | close NUMBER: as people would; forge break STATUS | heal: the API
	"forge": forgeCommand,
}

func forgeCommand(_ context.Context, s *story, args []string) error {
	usage := errors.New("forge new NAME | list | merge NUMBER | close NUMBER | break STATUS | heal")
	switch {
	case len(args) == 2 && args[0] == "new":
		return s.startForge(args[1])
	case s.forge == nil:
		return errors.New(`there is no forge yet: "forge new" comes first`)
	case len(args) == 1 && args[0] == "heal":
		s.forge.Break(nil)
		return nil
	case len(args) == 1 && args[0] == "list":
		s.printed = true
		for _, p := range s.forge.PullRequests() {
			fmt.Fprintln(&s.stdout, p)
		}
		return nil
	case len(args) != 2:
		return usage
	}
	n, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "merge":
		return s.forge.Merge(n)
	case "close":
		s.forge.Decline(n)
	case "break":
		s.forge.Break(func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, "no: "+r.Header.Get("Authorization"), n)
		})
	default:
		return usage
	}
	return nil
}

// startForge serves a new repository and its pull requests.
func (s *story) startForge(name string) error {
	server, err := gittest.Start(gittest.Options{Push: true})
	if err != nil {
		return err
	}
	s.cleanups = append(s.cleanups, server.Close)
	repository, err := server.NewRepository("org/" + name)
	if err != nil {
		return err
	}
	s.repositories[name] = repository
	s.forge = forgetest.Start(repository.Dir(), "org/"+name, false)
	s.cleanups = append(s.cleanups, s.forge.Close)
	s.ts.Setenv(name+"_url", repository.URL())
	s.ts.Setenv("forge_url", s.forge.URL())
	return nil
}
