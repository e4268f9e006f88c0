package config

import (
	"net/url"
	"slices"
	"strings"
)

// ServiceName is the attribute that OTEL_SERVICE_NAME sets, and the only one of
// Kinetel's own that the user can.
const ServiceName = "service.name"

// OwnAttributes returns the names that say who telemetry comes from. By them
// consumers tell environments apart; nobody else can set them.
func OwnAttributes() []string {
	return []string{"cloud.provider", "cloud.region", "cloud.account.id", "faas.name", "faas.version", "faas.instance"}
}

// maxAttributes bounds each list in bytes: they are repeated on every line.
const maxAttributes = 2048

// attributes merges what the user says of the resource. The general variables
// give way to the special ones, as OpenTelemetry's specification has it for
// OTEL_SERVICE_NAME and AWS's for the endpoints of services:
// OTEL_RESOURCE_ATTRIBUTES, then OTEL_SERVICE_NAME, then KINETEL_TAGS.
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

// otel reads OTEL_RESOURCE_ATTRIBUTES: names and values as W3C Baggage has them,
// percent-encoded where they must be. Where it cannot be read, none of it counts
// (OpenTelemetry specification, resource SDK); and since other programs of the
// function's read it too, that is no reason not to ship.
func (l *loader) otel() (list []Attribute) {
	const name = "OTEL_RESOURCE_ATTRIBUTES"
	v := l.text(name)
	if len(v) > maxAttributes {
		l.warning(name, "is %d bytes long and ignored; at most %d are taken", len(v), maxAttributes)
		return nil
	}
	for one := range strings.SplitSeq(v, ",") {
		if one = strings.TrimSpace(one); one == "" {
			continue // a comma at the end, as others read it
		}
		key, value, ok := strings.Cut(one, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		key = strings.TrimSpace(key)
		if !ok || key == "" || err != nil {
			l.warning(name, "%q is not name=value with what must be percent-encoded as %%2C; all of it is ignored", clip(one))
			return nil
		}
		list = append(list, Attribute{key, value})
	}
	l.checkOwn(name, list)
	return list
}

func (l *loader) tags() []Attribute {
	const name = "KINETEL_TAGS"
	v := l.text(name)
	if v == "" {
		return nil
	}
	var tags []Attribute
	for one := range strings.SplitSeq(v, ",") {
		key, value, ok := strings.Cut(one, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if !ok || key == "" || value == "" {
			l.problem(name, "%q is not name=value; must be a list such as env=prod,team=payments", clip(strings.TrimSpace(one)))
			return nil
		}
		if slices.ContainsFunc(tags, func(t Attribute) bool { return t.Name == key }) {
			l.problem(name, "%q is given twice; each tag stands once", clip(key))
			return nil
		}
		tags = append(tags, Attribute{key, value})
	}
	if len(v) > maxAttributes {
		l.problem(name, "is %d bytes long; at most %d are taken", len(v), maxAttributes)
		return nil
	}
	l.checkOwn(name, tags)
	return tags
}

// checkOwn warns of attributes that have no effect.
func (l *loader) checkOwn(name string, list []Attribute) {
	for _, a := range list {
		if slices.Contains(OwnAttributes(), a.Name) {
			l.warning(name, "%q says who telemetry comes from, which Kinetel finds out itself; it is ignored", a.Name)
		}
	}
}
