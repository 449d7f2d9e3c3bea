package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"

	"github.com/minio/minio-go/v7"

	"github.com/navefleet/nave/e2e/s3test"
)

// hasS3 reports whether this machine can serve buckets. Where CI=true it must.
func hasS3() bool {
	_, err := exec.LookPath("versitygw")
	return err == nil || os.Getenv("CI") == "true"
}

// bucketCommand puts the files of a folder into the bucket of the same name, on a real server.
func bucketCommand(ctx context.Context, s *story, args []string) error {
	if len(args) != 1 {
		return errors.New("bucket FOLDER")
	}
	if s.buckets == nil {
		server, err := s3test.Start(ctx)
		if err != nil {
			return err
		}
		s.buckets = server
		s.cleanups = append(s.cleanups, server.Close)
		s.ts.Setenv("s3_host", server.Endpoint())
	}
	exists, err := s.buckets.Client.BucketExists(ctx, args[0])
	if err == nil && !exists {
		err = s.buckets.Client.MakeBucket(ctx, args[0], minio.MakeBucketOptions{})
	}
	if err != nil {
		return err
	}
	files, err := filesBelow(s.path(args[0]))
	for name, text := range files {
		err = errors.Join(err, s.buckets.Put(ctx, args[0], name, text))
	}
	return err
}
