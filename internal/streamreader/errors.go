package streamreader

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/kinetel/kinetel/internal/config"
)

// ErrNoStream means that the region has no such stream, or that the stream was deleted.
var ErrNoStream = errors.New("no such stream")

// explain says what an error of Kinesis means, and what to do.
func (r *Reader) explain(ctx context.Context, operation, shard string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	what := fmt.Sprintf("stream %s", r.cfg.Stream)
	if shard != "" {
		what += ", shard " + shard
	}
	if _, unsent := errors.AsType[*smithyhttp.RequestSendError](err); unsent {
		return fmt.Errorf("%s: Kinesis of the region %s cannot be reached: check the network, --region and --endpoint-url: %w", what, r.cfg.AWS.Region, err)
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	code, fix := api.ErrorCode(), ""
	switch {
	case code == "ResourceNotFoundException":
		return fmt.Errorf("%s: %w: %s", what, ErrNoStream, r.similar(ctx))
	case code == "AccessDeniedException":
		fix = fmt.Sprintf("allow kinesis:%s in the policy of your role or user", operation)
		if operation == "SubscribeToShard" || operation == "DeregisterStreamConsumer" || operation == "DescribeStreamConsumer" {
			fix += ", on the consumer's ARN"
		}
	case code == "ExpiredTokenException":
		fix = "your AWS session has expired: run `aws sso login`, or renew AWS_SESSION_TOKEN"
	case code == "UnrecognizedClientException" || code == "InvalidClientTokenId":
		fix = "AWS does not know the access key: check --profile, AWS_PROFILE and AWS_ACCESS_KEY_ID"
	case code == "InvalidSignatureException" || code == "SignatureDoesNotMatch" || code == "RequestExpired":
		fix = "check the secret key and the clock of this machine" + clock(err)
	case strings.HasPrefix(code, "KMS"):
		fix = "allow kms:Decrypt on the key of the stream, and see that the key is enabled"
	default:
		return fmt.Errorf("%s: %w", what, err)
	}
	return fmt.Errorf("%s: %s: %s; %s: %w", what, operation, code, fix, err)
}

// clock compares the clocks, if the answer has a date.
func clock(err error) string {
	response, ok := errors.AsType[*smithyhttp.ResponseError](err)
	if !ok || response.Response == nil {
		return ""
	}
	server, err := http.ParseTime(response.Response.Header.Get("Date"))
	if err != nil {
		return ""
	}
	return fmt.Sprintf(": it is %s here, and %s at AWS", time.Now().UTC().Format(time.DateTime), server.UTC().Format(time.DateTime))
}

// maxListed is how many names of streams an error looks at.
const maxListed = 1000

// similar returns which streams of the region could be meant.
func (r *Reader) similar(ctx context.Context) string {
	place := "the region " + r.cfg.AWS.Region
	name := r.cfg.Stream[strings.LastIndexByte(r.cfg.Stream, '/')+1:]
	var all []string
	pages := kinesis.NewListStreamsPaginator(r.client, &kinesis.ListStreamsInput{})
	for pages.HasMorePages() && len(all) < maxListed {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return fmt.Sprintf("%s does not have it: check the name, and --region", place)
		}
		all = append(all, page.StreamNames...)
	}
	type candidate struct {
		name     string
		distance int
	}
	var near []candidate
	lower := strings.ToLower(name)
	for _, one := range all {
		d := config.Distance(lower, strings.ToLower(one))
		if d <= 1+len(name)/3 || strings.Contains(strings.ToLower(one), lower) || strings.Contains(lower, strings.ToLower(one)) {
			near = append(near, candidate{one, d})
		}
	}
	slices.SortFunc(near, func(a, b candidate) int { return cmp.Or(a.distance-b.distance, cmp.Compare(a.name, b.name)) })
	switch {
	case len(all) == 0:
		return place + " has no streams: check --region and --profile"
	case len(near) == 0:
		return fmt.Sprintf("%s has %d others: check the name, and --region; `aws kinesis list-streams` has the names", place, len(all))
	}
	var names []string
	for _, c := range near[:min(len(near), 5)] {
		names = append(names, c.name)
	}
	return fmt.Sprintf("in %s, did you mean %s? Or another --region?", place, strings.Join(names, ", "))
}
