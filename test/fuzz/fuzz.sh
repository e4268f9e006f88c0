#!/bin/sh
# Runs each fuzz target below the current folder for some time, by the go command
# that $GO names: fuzz.sh 30s
#
# The end of that time may itself be reported as a failure, "context deadline
# exceeded", by Go before 1.27 (golang/go#75804). It is one only if there is more to
# it: an input that fails, which Go then writes to testdata/fuzz, or other words.
set -u

tmp=$(mktemp -d) || exit 1
trap 'rm -rf "$tmp"' EXIT

inputs() { find . -path '*/testdata/fuzz/*' -type f | sort; }

# only_the_deadline reports whether a target's output has nothing but that failure.
only_the_deadline() {
	[ "$(sed -n '/^ *--- FAIL/,$p' "$tmp/output" | sed -E -e '/^exit status 1$/d' -e '/^FAIL/d' -e 's/ \([0-9.]+s\)$//')" = "--- FAIL: $1
    context deadline exceeded" ]
}

grep -roE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]+' . | sort | sed -E 's|/[^/]*_test.go:func | |' >"$tmp/targets"
while read -r pkg target; do
	inputs >"$tmp/before"
	{
		"${GO:-go}" test -run '^$' -fuzz "^$target\$" -fuzzminimizetime 20x -fuzztime "$1" "$pkg" 2>&1
		echo $? >"$tmp/status"
	} </dev/null | tee "$tmp/output"
	[ "$(cat "$tmp/status")" = 0 ] && continue
	inputs | cmp -s "$tmp/before" - && only_the_deadline "$target" || exit 1
	echo "$target found nothing: that was the end of its time (golang/go#75804)"
done <"$tmp/targets"
