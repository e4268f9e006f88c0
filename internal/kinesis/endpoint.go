package kinesis

import "strings"

// partitions are AWS's partitions by the prefix of their regions, with the
// suffixes of their host names (the SDKs' partitions.json). The last one matches
// all other regions.
var partitions = [...]struct{ prefix, suffix, dualStack string }{
	{"cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
	{"us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
	{"us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
	{"us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
	{"eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
	{"eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
	{"", "amazonaws.com", "api.aws"},
}

// Endpoint returns the URL of Kinesis in a region.
func Endpoint(region string, fips, dualStack bool) string {
	host := "kinesis"
	// The GovCloud regions serve FIPS at the normal host name.
	if fips && (dualStack || !strings.HasPrefix(region, "us-gov-")) {
		host = "kinesis-fips"
	}
	for _, p := range partitions {
		if strings.HasPrefix(region, p.prefix) {
			suffix := p.suffix
			if dualStack {
				suffix = p.dualStack
			}
			return "https://" + host + "." + region + "." + suffix
		}
	}
	return ""
}
