package main

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"google.golang.org/grpc"

	adminv1 "github.com/navefleet/nave/proto/nave/admin/v1"
)

// pages is a hub that has some objects and gives them in pages.
type pages struct {
	adminv1.AdminServiceClient
	objects []*adminv1.Object
	limits  []int64 // of the requests
}

func (p *pages) List(_ context.Context, r *adminv1.ListRequest, _ ...grpc.CallOption) (*adminv1.ListResponse, error) {
	p.limits = append(p.limits, r.Limit)
	first := 0
	if r.Continue != "" {
		_, err := fmt.Sscan(r.Continue, &first)
		if err != nil {
			return nil, err
		}
	}
	end := len(p.objects)
	answer := &adminv1.ListResponse{}
	if r.Limit > 0 && first+int(r.Limit) < end {
		end = first + int(r.Limit)
		answer.Continue = fmt.Sprint(end)
	}
	answer.Objects = p.objects[first:end]
	return answer, nil
}

func TestList(t *testing.T) {
	objects := make([]*adminv1.Object, 7)
	for i := range objects {
		objects[i] = &adminv1.Object{Key: &adminv1.ObjectKey{Name: fmt.Sprint(i)}}
	}
	for chunk, requests := range map[int64]int{0: 1, 1: 7, 3: 3, 7: 1, 500: 1} {
		hub := &pages{objects: objects}
		request := &adminv1.ListRequest{Kind: "clusters"}
		got, err := list(t.Context(), hub, request, chunk)
		if err != nil || !slices.Equal(got, objects) || len(hub.limits) != requests || hub.limits[0] != chunk {
			t.Errorf("chunks of %d: %d objects with limits %v, %v", chunk, len(got), hub.limits, err)
		}
		if request.Limit != 0 || request.Continue != "" {
			t.Errorf("the caller's request is %v", request)
		}
	}
}

// endless is a hub that sends the same page again and again.
type endless struct{ adminv1.AdminServiceClient }

func (endless) List(context.Context, *adminv1.ListRequest, ...grpc.CallOption) (*adminv1.ListResponse, error) {
	return &adminv1.ListResponse{Objects: []*adminv1.Object{{}}, Continue: "again"}, nil
}

func TestList_endless(t *testing.T) {
	if got, err := list(t.Context(), endless{}, &adminv1.ListRequest{Kind: "clusters"}, chunkSize); err == nil {
		t.Errorf("%d objects", len(got))
	}
}
