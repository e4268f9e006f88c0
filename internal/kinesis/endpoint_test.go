package kinesis_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	sdk "github.com/aws/aws-sdk-go-v2/service/kinesis"

	"github.com/kinetel/kinetel/internal/kinesis"
)

func TestEndpointsEqualThoseOfTheSDK(t *testing.T) {
	resolver := sdk.NewDefaultEndpointResolverV2()
	compared := 0
	for _, region := range []string{
		"us-east-1", "us-west-2", "eu-west-1", "eu-central-2", "ap-southeast-5", "ca-west-1", "sa-east-1", "me-central-1", "af-south-1", "il-central-1", "mx-central-1",
		"cn-north-1", "cn-northwest-1", "us-gov-west-1", "us-gov-east-1", "us-iso-east-1", "us-iso-west-1", "us-isob-east-1", "us-isob-west-1",
		"us-isof-south-1", "us-isof-east-1", "eu-isoe-west-1", "eusc-de-east-1",
	} {
		for _, fips := range []bool{false, true} {
			for _, dualStack := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s fips=%v dualstack=%v", region, fips, dualStack), func(t *testing.T) {
					want, err := resolver.ResolveEndpoint(t.Context(), sdk.EndpointParameters{
						Region: aws.String(region), UseFIPS: aws.Bool(fips), UseDualStack: aws.Bool(dualStack),
					})
					if err != nil {
						t.Skipf("the SDK has none: %v", err)
					}
					compared++
					if got := kinesis.Endpoint(region, fips, dualStack); got != strings.TrimSuffix(want.URI.String(), "/") {
						t.Errorf("%s, the SDK has %s", got, want.URI.String())
					}
				})
			}
		}
	}
	if compared < 40 {
		t.Errorf("only %d endpoints were compared", compared)
	}
}
