package main

import (
	"go.etcd.io/etcd/server/v3/embed"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	cm "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	sched "k8s.io/kubernetes/cmd/kube-scheduler/app"
	_ "sigs.k8s.io/kwok/pkg/kwok/cmd"
)

func main() {
	_ = embed.NewConfig
	_ = apiserver.NewAPIServerCommand
	_ = cm.NewControllerManagerCommand
	_ = sched.NewSchedulerCommand
}
