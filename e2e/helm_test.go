package e2e_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/navefleet/nave/e2e/helmtest"
)

// helmCommands are the words of stories about charts and releases.
var helmCommands = map[string]command{
	"chart": packageChart, // chart REPOSITORY FOLDER…: packages charts into a folder with an index, by the real helm
	"helm":  helmCommand,  // helm CLUSTER ARG…: the real helm
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
