package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/navefleet/nave/e2e/helmtest"
)

// helmCommands are the words of stories about charts and releases.
var helmCommands = map[string]command{
	"chart": packageChart, // chart REPOSITORY FOLDER…: packages charts into a folder with an index, by the real helm
	"helm":  helmCommand,  // helm CLUSTER ARG…: the real helm
	// pushchart FOLDER NAME VERSION: pushes a chart of the folder to the registry, by the real helm
	"pushchart": pushChart,
	// helmcontroller CLUSTER start | acts: Flux's kinds, and what Flux's helm-controller does; what it has done
	"helmcontroller": helmControllerCommand,
}

// packageChart packages charts and makes the index of their repository.
func packageChart(ctx context.Context, s *story, args []string) error {
	helm, err := helmtest.New(ctx, 3)
	if err != nil {
		return err
	}
	repository := s.path(args[0])
	for _, folder := range args[1:] {
		if out, err := helm.Run(ctx, "", "package", s.path(folder), "--destination", repository); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	_, err = helm.Run(ctx, "", "repo", "index", repository)
	return err
}

// pushChart pushes a packaged chart to the registry below the name of its folder.
func pushChart(ctx context.Context, s *story, args []string) error {
	if s.registry == nil {
		return errNoRegistry
	}
	if len(args) != 3 {
		return errors.New("pushchart FOLDER NAME VERSION")
	}
	helm, err := helmtest.New(ctx, 3)
	if err != nil {
		return err
	}
	archive := fmt.Sprintf("%s-%s.tgz", args[1], args[2])
	_, err = helm.Run(ctx, "", "push", filepath.Join(s.path(args[0]), archive), s.registry.URL(args[0]), "--plain-http")
	if err != nil {
		return err
	}
	ref, err := s.registry.Reference(fmt.Sprintf("%s/%s:%s", args[0], args[1], args[2]))
	if err != nil {
		return err
	}
	pushed, err := remote.Head(ref, s.registry.Options()...)
	if err == nil {
		s.pushed = pushed.Digest.String()
	}
	return err
}

func helmCommand(ctx context.Context, s *story, args []string) error {
	if len(args) < 2 {
		return errors.New("helm CLUSTER ARG…")
	}
	c, err := clusterOf(args[0])
	if err != nil {
		return err
	}
	helm, err := helmtest.New(ctx, 3)
	if err != nil {
		return err
	}
	out, err := helm.Run(ctx, c.Kubeconfig, args[1:]...)
	s.stdout.WriteString(out)
	return err
}
