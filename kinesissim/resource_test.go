package kinesissim_test

import (
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
	"github.com/google/go-cmp/cmp"

	"github.com/kinetel/kinetel/kinesissim"
)

func pairs(tags []types.Tag) (all []string) {
	for _, tag := range tags {
		all = append(all, *tag.Key+"="+*tag.Value)
	}
	return all
}

func TestTagsOfAStream(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx, name := client(t, sim), t.Context(), aws.String("s")
	add := func(tags map[string]string) error {
		_, err := c.AddTagsToStream(ctx, &kinesis.AddTagsToStreamInput{StreamName: name, Tags: tags})
		return err
	}
	for _, tags := range []map[string]string{{"c": "3", "a": "1"}, {"b": "2", "c": "4"}} {
		if err := add(tags); err != nil {
			t.Fatal(err)
		}
	}
	first := must[*kinesis.ListTagsForStreamOutput](t)(c.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: name, Limit: aws.Int32(2)}))
	rest := must[*kinesis.ListTagsForStreamOutput](t)(c.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: name, ExclusiveStartTagKey: aws.String("b")}))
	if diff := cmp.Diff([][]string{{"a=1", "b=2"}, {"c=4"}}, [][]string{pairs(first.Tags), pairs(rest.Tags)}); diff != "" || !*first.HasMoreTags || *rest.HasMoreTags {
		t.Errorf("more %t, then %t (-want +got)\n%s", *first.HasMoreTags, *rest.HasMoreTags, diff)
	}
	must[*kinesis.RemoveTagsFromStreamOutput](t)(c.RemoveTagsFromStream(ctx, &kinesis.RemoveTagsFromStreamInput{StreamName: name, TagKeys: []string{"a", "x"}}))
	many := map[string]string{}
	for i := range 49 {
		many[fmt.Sprint(i)] = ""
	}
	wantError[*types.InvalidArgumentException](t, add(many))
	wantError[*types.ValidationException](t, add(map[string]string{"": "x"}))
	left := must[*kinesis.ListTagsForStreamOutput](t)(c.ListTagsForStream(ctx, &kinesis.ListTagsForStreamInput{StreamName: name}))
	if diff := cmp.Diff([]string{"b=2", "c=4"}, pairs(left.Tags)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

// Streams and consumers have tags and policies, from the start or later.
func TestResources(t *testing.T) {
	t.Parallel()
	sim := oneStream(t, 1)
	c, ctx := client(t, sim), t.Context()
	must[*kinesis.CreateStreamOutput](t)(c.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: aws.String("new"), ShardCount: aws.Int32(1), Tags: map[string]string{"from": "start"}}))
	consumer := must[*kinesis.RegisterStreamConsumerOutput](t)(c.RegisterStreamConsumer(ctx, &kinesis.RegisterStreamConsumerInput{
		StreamARN: aws.String(sim.StreamARN("s")), ConsumerName: aws.String("tail"), Tags: map[string]string{"from": "start"},
	})).Consumer
	for _, arn := range []*string{aws.String(sim.StreamARN("new")), consumer.ConsumerARN} {
		must[*kinesis.TagResourceOutput](t)(c.TagResource(ctx, &kinesis.TagResourceInput{ResourceARN: arn, Tags: map[string]string{"a": "1", "b": "2"}}))
		must[*kinesis.UntagResourceOutput](t)(c.UntagResource(ctx, &kinesis.UntagResourceInput{ResourceARN: arn, TagKeys: []string{"a"}}))
		tags := must[*kinesis.ListTagsForResourceOutput](t)(c.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: arn})).Tags
		if diff := cmp.Diff([]string{"b=2", "from=start"}, pairs(tags)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", *arn, diff)
		}
		get := func() (*kinesis.GetResourcePolicyOutput, error) {
			return c.GetResourcePolicy(ctx, &kinesis.GetResourcePolicyInput{ResourceARN: arn})
		}
		_, err := get()
		wantError[*types.ResourceNotFoundException](t, err)
		_, err = c.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: arn, Policy: aws.String("{")})
		wantError[*types.InvalidArgumentException](t, err)
		must[*kinesis.PutResourcePolicyOutput](t)(c.PutResourcePolicy(ctx, &kinesis.PutResourcePolicyInput{ResourceARN: arn, Policy: aws.String(`{"Version":"2012-10-17"}`)}))
		if got := must[*kinesis.GetResourcePolicyOutput](t)(get()); *got.Policy != `{"Version":"2012-10-17"}` {
			t.Errorf("policy %s", *got.Policy)
		}
		must[*kinesis.DeleteResourcePolicyOutput](t)(c.DeleteResourcePolicy(ctx, &kinesis.DeleteResourcePolicyInput{ResourceARN: arn}))
		_, err = get()
		wantError[*types.ResourceNotFoundException](t, err)
	}
	_, err := c.ListTagsForResource(ctx, &kinesis.ListTagsForResourceInput{ResourceARN: aws.String(sim.StreamARN("missing"))})
	wantError[*types.ResourceNotFoundException](t, err)
}

// What is accepted without an effect on records shows in the descriptions.
func TestSettingsOfAStream(t *testing.T) {
	t.Parallel()
	sim := start(t, kinesissim.Config{ShardLimit: 7, Streams: []kinesissim.Stream{{Name: "s", Shards: 2}}})
	c, ctx, name, arn := client(t, sim), t.Context(), aws.String("s"), aws.String(sim.StreamARN("s"))
	describe := func() *types.StreamDescriptionSummary {
		return must[*kinesis.DescribeStreamSummaryOutput](t)(c.DescribeStreamSummary(ctx, &kinesis.DescribeStreamSummaryInput{StreamName: name})).StreamDescriptionSummary
	}
	key := aws.String("alias/key")
	must[*kinesis.StartStreamEncryptionOutput](t)(c.StartStreamEncryption(ctx, &kinesis.StartStreamEncryptionInput{StreamName: name, EncryptionType: types.EncryptionTypeKms, KeyId: key}))
	if d := describe(); d.EncryptionType != types.EncryptionTypeKms || aws.ToString(d.KeyId) != "alias/key" {
		t.Errorf("%s with %s", d.EncryptionType, aws.ToString(d.KeyId))
	}
	stored := must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", []byte("x")))
	must[*kinesis.StopStreamEncryptionOutput](t)(c.StopStreamEncryption(ctx, &kinesis.StopStreamEncryptionInput{StreamName: name, EncryptionType: types.EncryptionTypeKms, KeyId: key}))
	if d := describe(); d.EncryptionType != types.EncryptionTypeNone || d.KeyId != nil || stored.EncryptionType != types.EncryptionTypeKms {
		t.Errorf("%s, the record %s", d.EncryptionType, stored.EncryptionType)
	}

	enabled := must[*kinesis.EnableEnhancedMonitoringOutput](t)(c.EnableEnhancedMonitoring(ctx, &kinesis.EnableEnhancedMonitoringInput{StreamName: name, ShardLevelMetrics: []types.MetricsName{types.MetricsNameAll}}))
	if len(enabled.CurrentShardLevelMetrics) != 0 || len(enabled.DesiredShardLevelMetrics) != 7 {
		t.Errorf("%v, then %v", enabled.CurrentShardLevelMetrics, enabled.DesiredShardLevelMetrics)
	}
	must[*kinesis.DisableEnhancedMonitoringOutput](t)(c.DisableEnhancedMonitoring(ctx, &kinesis.DisableEnhancedMonitoringInput{StreamName: name, ShardLevelMetrics: []types.MetricsName{types.MetricsNameIncomingBytes}}))
	if metrics := describe().EnhancedMonitoring[0].ShardLevelMetrics; len(metrics) != 6 || metrics[0] != types.MetricsNameIncomingRecords {
		t.Errorf("metrics %v", metrics)
	}
	_, err := c.EnableEnhancedMonitoring(ctx, &kinesis.EnableEnhancedMonitoringInput{StreamName: name, ShardLevelMetrics: []types.MetricsName{"Lag"}})
	wantError[*types.ValidationException](t, err)

	must[*kinesis.UpdateStreamModeOutput](t)(c.UpdateStreamMode(ctx, &kinesis.UpdateStreamModeInput{StreamARN: arn, StreamModeDetails: &types.StreamModeDetails{StreamMode: types.StreamModeOnDemand}}))
	if d := describe(); d.StreamModeDetails.StreamMode != types.StreamModeOnDemand || *d.OpenShardCount != 2 {
		t.Errorf("%s with %d shards", d.StreamModeDetails.StreamMode, *d.OpenShardCount)
	}
	limits := must[*kinesis.DescribeLimitsOutput](t)(c.DescribeLimits(ctx, &kinesis.DescribeLimitsInput{}))
	if *limits.ShardLimit != 7 || *limits.OpenShardCount != 2 || *limits.OnDemandStreamCount != 1 || *limits.OnDemandStreamCountLimit != 50 {
		t.Errorf("%d of %d shards, %d of %d streams", *limits.OpenShardCount, *limits.ShardLimit, *limits.OnDemandStreamCount, *limits.OnDemandStreamCountLimit)
	}

	big := make([]byte, 1<<20+1)
	_, err = put(ctx, c, "s", "k", big)
	wantError[*types.ValidationException](t, err)
	must[*kinesis.UpdateMaxRecordSizeOutput](t)(c.UpdateMaxRecordSize(ctx, &kinesis.UpdateMaxRecordSizeInput{StreamARN: arn, MaxRecordSizeInKiB: aws.Int32(2048)}))
	must[*kinesis.PutRecordOutput](t)(put(ctx, c, "s", "k", big))
}
