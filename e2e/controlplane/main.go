// Command controlplane is a real Kubernetes in one binary, for tests: etcd, kube-apiserver, kube-controller-manager
// and kube-scheduler as upstream builds them, and kwok, which plays the nodes so that Pods become ready.
//
//	controlplane up --dir DIR [--nodes N] [--audit]
//
// starts one cluster on loopback with its data, its certificates and its logs below DIR, and prints one line of JSON
// once it can be used. It runs until its standard input ends or it is interrupted: whoever starts it holds the other
// end of a pipe, so that nothing is left running when the starter dies, however it dies. The other subcommands are the
// components themselves; "up" starts each as a process of its own, because they share process-wide registries.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/component-base/cli"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kwokconfig "sigs.k8s.io/kwok/pkg/config"
	kwok "sigs.k8s.io/kwok/pkg/kwok/cmd"
	kwoklog "sigs.k8s.io/kwok/pkg/log"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: controlplane up --dir DIR [--nodes N] [--audit]")
		os.Exit(2)
	}
	component := os.Args[1]
	os.Args = append([]string{component}, os.Args[2:]...)
	os.Exit(run(component))
}

func run(component string) int {
	switch component {
	case "up":
		return up()
	case "kube-apiserver":
		return cli.Run(apiserver.NewAPIServerCommand())
	case "kube-controller-manager":
		return cli.Run(controllermanager.NewControllerManagerCommand())
	case "kube-scheduler":
		return cli.Run(scheduler.NewSchedulerCommand())
	case "kwok":
		return runKwok()
	default:
		fmt.Fprintf(os.Stderr, "controlplane: unknown component %q\n", component)
		return 2
	}
}

func up() int {
	var o options
	flags := pflag.NewFlagSet("up", pflag.ExitOnError)
	flags.StringVar(&o.dir, "dir", "", "folder for data, certificates, kubeconfigs and logs")
	flags.IntVar(&o.nodes, "nodes", 1, "how many nodes kwok plays")
	flags.BoolVar(&o.audit, "audit", false, "write DIR/audit.log, one line a request")
	_ = flags.Parse(os.Args[1:])
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := supervise(untilEOF(ctx, os.Stdin), o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		return 1
	}
	return 0
}

// untilEOF ends the context when r ends.
func untilEOF(ctx context.Context, r *os.File) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		buf := make([]byte, 64)
		for {
			if _, err := r.Read(buf); err != nil {
				return
			}
		}
	}()
	return ctx
}

// runKwok is kwok's own main with its signal handling left to the context.
func runKwok() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// cobra adds this set to every command; Kubernetes has put a --version of its own there, of another type than kwok's.
	pflag.CommandLine = pflag.NewFlagSet("kwok", pflag.ContinueOnError)
	flags := pflag.NewFlagSet("global", pflag.ContinueOnError)
	flags.ParseErrorsAllowlist.UnknownFlags = true
	flags.Usage = func() {}
	ctx, _ = kwoklog.InitFlags(ctx, flags)
	ctx, err := kwokconfig.InitFlags(ctx, flags)
	if err != nil {
		fmt.Fprintln(os.Stderr, "kwok:", err)
		return 1
	}
	return execute(ctx, kwok.NewCommand(ctx), flags)
}

func execute(ctx context.Context, command *cobra.Command, flags *pflag.FlagSet) int {
	command.PersistentFlags().AddFlagSet(flags)
	if err := command.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
