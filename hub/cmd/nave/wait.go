package main

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// waitOptions has the flags of "nave wait".
type waitOptions struct {
	goal          string
	selector      selector
	all, anywhere bool
}

const waitText = `Wait until objects are ready, or as --for says, at most --timeout. With --timeout=0 look once; with a
negative one wait for a week.

--for is one of:
  ready                        the object is ready, in its newest version; a stalled one ends the wait at once
  condition=TYPE[=STATUS]      the condition has the status, True if none is given
  jsonpath='{.PATH}'[=VALUE]   the path leads to the value, or to any if none is given
  create                       the object exists
  delete                       the object is gone; of a Kustomization or HelmRelease of a cluster, the spoke has told,
                               too, that nothing of it is left

It ends with 0 when all are, with 1 when one failed or the time is over, and with 4 when one does not exist.`

func newWaitCommand(s *session) *cobra.Command {
	var o waitOptions
	cmd := &cobra.Command{
		Use:   "wait KIND/NAME... | KIND NAME... | KIND --all | KIND -l SELECTOR",
		Short: "Wait until objects are ready, or as --for says",
		Long:  waitText,
		Example: "  nave wait kustomization/infra kustomization/apps --cluster prod-1\n" +
			"  nave wait cluster prod-1 --for=condition=Connected\n" +
			"  nave wait kustomizations --all -A --timeout=10m\n" +
			"  nave wait gitrepository/hub --for=jsonpath='{.status.artifact.revision}'=main@sha1:$(git rev-parse HEAD)\n" +
			"  nave wait fleet/old --for=delete",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return s.wait(cmd, args, o) },
	}
	f := cmd.Flags()
	f.StringVar(&o.goal, "for", "ready", "what to wait for: ready, delete, create, condition=TYPE[=STATUS] or "+
		"jsonpath='{.PATH}'[=VALUE]")
	addSelector(cmd, &o.selector, "wait for the objects of KIND that this label selector selects")
	f.BoolVar(&o.all, "all", false, "wait for all objects of KIND that nave get lists")
	addAllNamespaces(cmd, &o.anywhere, "; with --all or -l only")
	return cmd
}

// wait reads what to wait for before it connects to the hub, and waits.
func (s *session) wait(cmd *cobra.Command, args []string, o waitOptions) error {
	goal, err := parseGoal(o.goal)
	if err != nil {
		return err
	}
	targets, err := s.targets(args, o)
	if err != nil {
		return err
	}
	limit := s.timeLimit()
	return s.run(func(cmd *cobra.Command, _ []string, client adminv1.AdminServiceClient) error {
		ctx, cancel := context.WithTimeout(cmd.Context(), cmp.Or(limit, s.timeout))
		defer cancel()
		w := &waiter{client: client, goal: goal, once: limit == 0, progress: newProgress(cmd)}
		return w.all(ctx, targets)
	})(cmd, args)
}

// Limits of the time of a wait.
const (
	longestWait = 7 * 24 * time.Hour // as in kubectl, for a negative --timeout
	oneLook     = time.Minute        // for the answers of the hub with --timeout=0
)

// timeLimit returns how long --timeout lets a wait last; 0 if it looks once. A call to the hub gets a time of its own
// where --timeout is none.
func (s *session) timeLimit() time.Duration {
	limit := s.timeout
	switch {
	case limit < 0:
		limit, s.timeout = longestWait, oneLook
	case limit == 0:
		s.timeout = oneLook
	}
	return limit
}

// targets returns the watches of the objects that the arguments and flags name: one for each name, or one for a
// selection.
func (s *session) targets(args []string, o waitOptions) (targets []*target, err error) {
	selects := o.all || o.selector != ""
	kind, names, err := kindOf(args)
	switch {
	case err != nil:
		return nil, err
	case s.checkScope(kind) != nil:
		return nil, s.checkScope(kind)
	case selects && len(names) > 0:
		return nil, usageError("--all and --selector choose among all objects of a kind: leave them out, or %s",
			strings.Join(names, " "))
	case selects:
		request := s.listRequest(kind, getOptions{all: o.anywhere, selector: o.selector})
		return []*target{{request: &adminv1.WatchRequest{List: request}}}, nil
	case o.anywhere:
		return nil, usageError("-A does nothing for named objects: leave it out, or give --all or --selector")
	case len(names) == 0:
		return nil, usageError("name the %s to wait for, or give --all or --selector", kind.Plural)
	}
	if !strings.Contains(args[0], "/") {
		for i, name := range names {
			names[i] = kind.Name + "/" + name
		}
		args = names
	}
	for _, arg := range args {
		if !strings.Contains(arg, "/") {
			return nil, usageError("%s: want KIND/NAME, as the arguments before", arg)
		}
		key, err := s.key([]string{arg})
		if err != nil {
			return nil, err
		}
		targets = append(targets, &target{key: key, request: &adminv1.WatchRequest{Name: key.GetName(),
			List: &adminv1.ListRequest{Kind: key.GetKind(), Namespace: key.GetNamespace(), Cluster: key.GetCluster()}}})
	}
	return targets, nil
}

// maxWaits is how many objects are watched at a time: of the watches of one operator that a hub serves, a quarter.
const maxWaits = 32

// waiter waits for the objects of several targets.
type waiter struct {
	*progress
	client adminv1.AdminServiceClient
	goal   goal
	once   bool // look once
}

// all waits for all targets. The first failure ends the wait; when the time is over, all that are not as wanted are
// named.
func (w *waiter) all(ctx context.Context, targets []*target) error {
	errs := make([]error, len(targets))
	group, within := errgroup.WithContext(ctx)
	group.SetLimit(maxWaits)
	for i, t := range targets {
		group.Go(func() error {
			t.waiter = w
			if errs[i] = t.follow(within); w.once {
				return nil // all are looked at
			}
			return errs[i]
		})
	}
	_ = group.Wait() // errs has all of them
	return joined(slices.DeleteFunc(errs, func(err error) bool { return errors.Is(err, errEnded) }))
}

// errEnded is the error of a wait that ended because another one failed.
var errEnded = errors.New("the wait was ended")
