package config

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// ServiceName is the attribute that OTEL_SERVICE_NAME sets. It is the only one of
// Kinetel's own attributes that the user can set.
const ServiceName = "service.name"

// OwnAttributes returns the names of the attributes that identify the source of
// telemetry. Consumers distinguish environments by them, and only Kinetel sets them.
func OwnAttributes() []string {
	return []string{"cloud.provider", "cloud.region", "cloud.account.id", "faas.name", "faas.version", "faas.instance", "service.instance.id"}
}

// maxAttributes bounds each list in bytes: the attributes are repeated on every line.
const maxAttributes = 2048

// attributes merges the user's attributes of the resource. A specific variable
// overrides a general one, as OpenTelemetry's specification defines for
// OTEL_SERVICE_NAME and AWS's for the endpoints of services. The order is
// OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME, KINETEL_TAGS; later ones win.
func (l *loader) attributes() (merged []Attribute) {
	service := Attribute{ServiceName, l.text("OTEL_SERVICE_NAME")}
	for _, list := range [][]Attribute{l.otel(), {service}, l.tags()} {
		for _, a := range list {
			i := slices.IndexFunc(merged, func(b Attribute) bool { return a.Name == b.Name })
			switch {
			case a.Value == "":
			case i < 0:
				merged = append(merged, a)
			default:
				merged[i] = a
			}
		}
	}
	return merged
}

// otel parses OTEL_RESOURCE_ATTRIBUTES: names and values in the format of W3C
// Baggage, percent-encoded if they must be. If one element is invalid, none is used
// (OpenTelemetry specification, resource SDK).
func (l *loader) otel() []Attribute {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	list := elements(l.text(name))
	attributes := make([]Attribute, 0, len(list))
	for i, one := range list {
		key, value, ok := strings.Cut(one, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		key = strings.TrimSpace(key)
		if !ok || key == "" || err != nil {
			// Report its position only: it may be part of a value, and a secret.
			l.replaced(name, "none of it", "element %d is not name=value; percent-encode special characters, as %%2C for a comma", i+1)
			return nil
		}
		attributes = append(attributes, Attribute{key, value})
	}
	return l.fitting(name, attributes)
}

func (l *loader) tags() (tags []Attribute) {
	const name = "KINETEL_TAGS"
	if isOff(l.text(name)) {
		return nil
	}
	var wrong, twice int
	for i, one := range elements(l.text(name)) {
		key, value, ok := strings.Cut(one, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		before := slices.IndexFunc(tags, func(t Attribute) bool { return t.Name == key })
		switch {
		case !ok || key == "" || value == "":
			wrong = cmp.Or(wrong, i+1)
		case before >= 0:
			twice = cmp.Or(twice, i+1)
			tags[before].Value = value
		default:
			tags = append(tags, Attribute{key, value})
		}
	}
	tags = l.fitting(name, tags)
	used := fmt.Sprintf("what can be read of it, %d tags,", len(tags))
	if wrong > 0 {
		l.replaced(name, used, "element %d is not name=value; must be a list such as env=prod,team=payments", wrong)
	}
	if twice > 0 {
		l.replaced(name, used, "element %d has the name of an earlier one; each name may occur once", twice)
	}
	return tags
}

// elements splits a list at its commas and omits empty elements.
func elements(v string) (list []string) {
	for _, one := range strings.Split(v, ",") {
		if one = strings.TrimSpace(one); one != "" {
			list = append(list, one)
		}
	}
	return list
}

// fitting returns the attributes that fit, and warns about those that have no effect.
func (l *loader) fitting(name string, list []Attribute) (fit []Attribute) {
	size := 0
	for _, a := range list {
		if n := len(a.Name) + len(a.Value) + len("=,"); size+n <= maxAttributes+len(",") {
			size += n
			fit = append(fit, a)
		}
		if slices.Contains(OwnAttributes(), a.Name) {
			l.warning(name, "%q identifies the source of telemetry and is ignored: Kinetel sets it itself", a.Name)
		}
	}
	if len(fit) < len(list) {
		l.replaced(name, fmt.Sprintf("what fits, %d of %d,", len(fit), len(list)), "may have at most %d bytes", maxAttributes)
	}
	return fit
}
