package miniolog

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/lifecycle"

	"github.com/task-runner/task-runner/ports"
)

// New returns a sink that keeps logs in the bucket, after it has tried all that it
// will do there. The client is the caller's, who closes its connections. Errors name
// the setting to change or the permission to give.
func New(ctx context.Context, client *minio.Client, cfg Config) (*LogSink, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	s := &LogSink{client: client, cfg: cfg, maxLog: maxLog, flushes: make(chan struct{}, maxFlushes)}
	if err := s.prepare(ctx); err != nil {
		return nil, fmt.Errorf("keeping logs in bucket %q at %s: %w", cfg.Bucket, client.EndpointURL().Host, err)
	}
	return s, nil
}

func (s *LogSink) prepare(ctx context.Context) (err error) {
	if err := s.makeBucket(ctx); err != nil {
		return err
	}
	if s.public, err = publicClient(ctx, s.client, s.cfg); err != nil {
		return err
	}
	if err := s.askVersions(ctx); err != nil {
		return err
	}
	if err := s.ensureRule(ctx); err != nil {
		return err
	}
	if err := s.probe(ctx); err != nil {
		return err
	}
	// Another process that starts now may have written back rules it had read before.
	return s.ensureRule(ctx)
}

// makeBucket makes the bucket if it is not there.
func (s *LogSink) makeBucket(ctx context.Context) error {
	exists, err := s.client.BucketExists(ctx, s.cfg.Bucket)
	if err != nil {
		return refused(ctx, "looking for the bucket", "s3:ListBucket", err)
	}
	if exists {
		return nil
	}
	err = s.client.MakeBucket(ctx, s.cfg.Bucket, minio.MakeBucketOptions{})
	if err != nil && answerOf(err).Code != minio.BucketAlreadyOwnedByYou { // another process was faster
		return refused(ctx, "making the bucket, which is not there", "s3:CreateBucket, or make it", err)
	}
	return nil
}

// askVersions finds out whether the bucket keeps what is removed from it.
func (s *LogSink) askVersions(ctx context.Context) error {
	v, err := s.client.GetBucketVersioning(ctx, s.cfg.Bucket)
	if answerOf(err).StatusCode == http.StatusNotImplemented {
		return nil // a store that knows no versions
	}
	if err != nil {
		return refused(ctx, "asking whether the bucket keeps versions", "s3:GetBucketVersioning", err)
	}
	s.versions = v.Enabled() || v.Suspended()
	return nil
}

// ensureRule has the store remove what was forgotten, if that is wanted. All other
// rules of the bucket stay, as far as S3 lets: it knows no condition for this write.
func (s *LogSink) ensureRule(ctx context.Context) error {
	if s.cfg.Expire == 0 {
		return nil
	}
	const day = 24 * time.Hour
	rule := lifecycle.Rule{
		ID: "taskrunner-logs-" + segment(s.cfg.Prefix), Status: "Enabled",
		RuleFilter:                  lifecycle.Filter{Prefix: s.cfg.Prefix + "tasks/"},
		Expiration:                  lifecycle.Expiration{Days: lifecycle.ExpirationDays((s.cfg.Expire + day - 1) / day)},
		NoncurrentVersionExpiration: lifecycle.NoncurrentVersionExpiration{NoncurrentDays: 1},
	}
	rules, err := s.client.GetBucketLifecycle(ctx, s.cfg.Bucket)
	switch {
	case answerOf(err).Code == "NoSuchLifecycleConfiguration":
		rules = lifecycle.NewConfiguration()
	case err != nil:
		return refused(ctx, "reading the bucket's rules", "s3:GetLifecycleConfiguration, or set Expire to 0", err)
	}
	for i, old := range rules.Rules {
		if old.ID == rule.ID {
			if old.Expiration.Days == rule.Expiration.Days && old.Status == rule.Status {
				return nil
			}
			rules.Rules = append(rules.Rules[:i], rules.Rules[i+1:]...)
			break
		}
	}
	rules.Rules = append(rules.Rules, rule)
	if err := s.client.SetBucketLifecycle(ctx, s.cfg.Bucket, rules); err != nil {
		return refused(ctx, "adding a rule that expires logs", "s3:PutLifecycleConfiguration, or set Expire to 0", err)
	}
	return nil
}

// errUnconditional says that the store cannot keep logs from being overwritten.
var errUnconditional = errors.New("the store ignores the conditions If-None-Match and If-Match of a write, without which a log could be " +
	"overwritten; use one that knows them, such as MinIO or Amazon S3")

// probe does with an object of its own all that will be done with logs.
func (s *LogSink) probe(ctx context.Context) error {
	prefix := s.cfg.Prefix + "probe/" + rand.Text() + "/"
	object := prefix + "object"
	put := func(condition func(*minio.PutObjectOptions)) error {
		opts := minio.PutObjectOptions{DisableMultipart: true}
		condition(&opts)
		_, err := s.client.PutObject(ctx, s.cfg.Bucket, object, strings.NewReader("probe"), 5, opts)
		return err
	}
	absent := func(o *minio.PutObjectOptions) { o.SetMatchETagExcept("*") }
	other := func(o *minio.PutObjectOptions) { o.SetMatchETag("d41d8cd98f00b204e9800998ecf8427e") } // of no bytes
	// A first answer that was lost makes the repeated request fail; that tells as much.
	if err := put(absent); err != nil && !isCondition(err) {
		return refused(ctx, "writing an object under "+prefix, "s3:PutObject", err)
	}
	for _, condition := range []func(*minio.PutObjectOptions){absent, other} {
		if err := put(condition); err == nil {
			return errors.Join(errUnconditional, s.remove(ctx, prefix))
		} else if !isCondition(err) {
			return refused(ctx, "writing an object on a condition", "s3:PutObject", err)
		}
	}
	if _, err := s.client.StatObject(ctx, s.cfg.Bucket, object, minio.StatObjectOptions{}); err != nil {
		return refused(ctx, "reading an object", "s3:GetObject", err)
	}
	if err := s.remove(ctx, prefix); err != nil {
		permissions := "s3:ListBucket and s3:DeleteObject"
		if s.versions {
			permissions += ", s3:ListBucketVersions and s3:DeleteObjectVersion"
		}
		return refused(ctx, "removing an object", permissions, err)
	}
	return nil
}

// refused says what the store was asked for at start-up, and how to mend it.
func refused(ctx context.Context, doing, permission string, err error) error {
	answer := answerOf(err)
	switch {
	case ctx.Err() != nil:
	case answer.Code == minio.InvalidAccessKeyID, answer.Code == minio.SignatureDoesNotMatch:
		return fmt.Errorf("%s: check the access key and the secret key: %w", doing, err)
	case answer.StatusCode == http.StatusForbidden:
		return fmt.Errorf("%s: the store does not allow it; check the access key and the secret key, and allow %s: %w", doing, permission, err)
	case answer.StatusCode == 0:
		return fmt.Errorf("%s: the store does not answer; check the endpoint and whether it speaks TLS: %w", doing, err)
	}
	return fmt.Errorf("%s: %w", doing, cause(ctx, err))
}

var _ ports.LogSink = (*LogSink)(nil)
