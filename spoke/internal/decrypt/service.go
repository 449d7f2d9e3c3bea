package decrypt

import (
	"context"
	"errors"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/getsops/sops/v3/keyservice"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/navefleet/nave/shared/telemetry"
)

// ErrService means that the key service did not answer, so that the same file may open later.
var ErrService = errors.New("the key service does not answer")

const (
	askTimeout    = 10 * time.Second // for one key, which the service may look for in another continent
	openTimeout   = 30 * time.Second // for all keys of a file
	firstConnect  = 200 * time.Millisecond
	maxConnect    = 2 * time.Second
	maxAnswer     = 16 << 10 // bytes of one answer: a data key or an error
	maxAnswerText = 300      // bytes of an error that are shown
)

// Service is the key service of SOPS: a process beside the spoke that decrypts data keys with keys that only it can
// use, such as those of a cloud's KMS. It is safe for concurrent use.
type Service struct {
	address string
	conn    *grpc.ClientConn
	client  keyservice.KeyServiceClient
}

// NewService returns the key service at an address, unix:///PATH. It connects when the first key is asked for, and
// again after a failure.
func NewService(address string) (*Service, error) {
	socket, ok := strings.CutPrefix(address, "unix://")
	if !ok || !path.IsAbs(socket) {
		return nil, fmt.Errorf("key service %q: want unix:///PATH, a socket on this machine", address)
	}
	conn, err := grpc.NewClient("unix://"+path.Clean(socket),
		grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithNoProxy(), grpc.WithDisableServiceConfig(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithConnectParams(grpc.ConnectParams{MinConnectTimeout: maxConnect,
			Backoff: backoff.Config{BaseDelay: firstConnect, Multiplier: 2, Jitter: .2, MaxDelay: maxConnect}}))
	if err != nil {
		return nil, fmt.Errorf("key service %q: %w", address, err)
	}
	return &Service{address: address, conn: conn, client: keyservice.NewKeyServiceClient(conn)}, nil
}

// Close closes the connection.
func (s *Service) Close() error { return s.conn.Close() }

// decrypt returns a part of a data key. If the service does not answer, the error is ErrService. If it refuses, the
// error is what it said.
func (s *Service) decrypt(ctx context.Context, key *keyservice.Key, enc string) ([]byte, error) {
	asked, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	answer, err := s.client.Decrypt(asked, &keyservice.DecryptRequest{Key: key, Ciphertext: []byte(enc)})
	if err == nil {
		return answer.Plaintext, nil
	}
	said := status.Convert(err)
	text := telemetry.Line(said.Message(), maxAnswerText)
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, ctx.Err()
	case asked.Err() != nil || said.Code() == codes.DeadlineExceeded:
		return nil, fmt.Errorf("%w: no answer in time", ErrService)
	case said.Code() == codes.Unavailable:
		return nil, fmt.Errorf("%w at %s: %s", ErrService, s.address, text)
	}
	return nil, errors.New(text)
}

// ask returns the group's part of the data key, decrypted by the key service with the first key that it can use. A key
// for which the service did not answer in time is not asked for again in the same run.
func (k *Keys) ask(ctx context.Context, group keyGroup) ([]byte, error) {
	if k.service == nil {
		return nil, ErrNoKey
	}
	var failed []error
	for _, key := range group.askable() {
		if err := k.silent[key.name]; err != nil {
			failed = append(failed, fmt.Errorf("%s: %w", key.name, err))
			continue
		}
		if err := k.spend(pgpEffort); err != nil {
			return nil, err
		}
		part, err := k.service.decrypt(ctx, key.key, key.enc)
		if err == nil && len(part) > maxDataKey {
			err = ErrMalformed
		}
		if err == nil {
			return part, nil
		}
		if errors.Is(err, ErrService) {
			k.silent[key.name] = err
		}
		failed = append(failed, fmt.Errorf("%s: %w", key.name, err))
		if ctx.Err() != nil {
			break
		}
	}
	if len(failed) == 0 {
		return nil, ErrNoKey
	}
	return nil, errors.Join(failed...)
}

// askable is a key that the key service may have.
type askable struct {
	name, enc string
	key       *keyservice.Key
}

// askable returns the keys of a group in the order in which they are asked for: those that only a service has first.
func (g keyGroup) askable() []askable {
	var all []askable
	add := func(name, enc string, key *keyservice.Key) { all = append(all, askable{name, enc, key}) }
	for _, k := range g.KMS {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_KmsKey{KmsKey: &keyservice.KmsKey{
			Arn: k.ARN, Role: k.Role, Context: k.Context, AwsProfile: k.Profile}}})
	}
	for _, k := range g.GCPKMS {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_GcpKmsKey{GcpKmsKey: &keyservice.GcpKmsKey{
			ResourceId: k.ResourceID}}})
	}
	for _, k := range g.AzureKV {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_AzureKeyvaultKey{
			AzureKeyvaultKey: &keyservice.AzureKeyVaultKey{VaultUrl: k.VaultURL, Name: k.Name, Version: k.Version}}})
	}
	for _, k := range g.Vault {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_VaultKey{VaultKey: &keyservice.VaultKey{
			VaultAddress: k.Address, EnginePath: k.Engine, KeyName: k.Key}}})
	}
	for _, k := range g.HuaweiKMS {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_HckmsKey{HckmsKey: &keyservice.HckmsKey{
			KeyId: k.KeyID}}})
	}
	for _, k := range g.Age {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_AgeKey{AgeKey: &keyservice.AgeKey{
			Recipient: k.Recipient}}})
	}
	for _, k := range g.PGP {
		add(k.name(), k.Enc, &keyservice.Key{KeyType: &keyservice.Key_PgpKey{PgpKey: &keyservice.PgpKey{
			Fingerprint: k.Fingerprint}}})
	}
	return all
}
