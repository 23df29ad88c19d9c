#!/usr/bin/env bash
# Runs a suite for CI: gates against a baseline file if there is one, and leaves behind a report, a
# comment's body and the file that becomes the next baseline. Needs nothing of GitHub: these
# variables are all it reads.
#
#   EVALKIT_SUITE      the suite file (required)
#   EVALKIT_LABEL      the run's label; default: GITHUB_SHA, else "local"
#   EVALKIT_SETTINGS   settings to change, one key=value per line
#   EVALKIT_TRIALS     trials of each case
#   EVALKIT_SHARD      k/n: one part of the dataset; a part is not gated
#   EVALKIT_BASELINE_CHECKOUT
#                      a checkout of the baseline: where a route looks worse, its cases are tried
#                      again with this code and with the baseline's before anything fails
#   EVALKIT_FOLDER     where files go; default .evalkit-ci. baseline.parquet in it is the baseline;
#                      comment.md, junit.xml and candidate.parquet are written
#   GITHUB_OUTPUT      a file that gets the outputs, if set
set -uo pipefail

suite=${EVALKIT_SUITE:?name a suite file in EVALKIT_SUITE}
folder=${EVALKIT_FOLDER:-.evalkit-ci}
label=${EVALKIT_LABEL:-${GITHUB_SHA:-local}}
mkdir -p "$folder" || exit 2

arguments=(run "$suite" --label "$label" --junit "$folder/junit.xml" --markdown "$folder/report.md")
[ -n "${EVALKIT_TRIALS:-}" ] && arguments+=(--trials "$EVALKIT_TRIALS")
while IFS= read -r setting; do
  [ -n "$setting" ] && arguments+=(--set "$setting")
done <<<"${EVALKIT_SETTINGS:-}"
if [ -n "${EVALKIT_SHARD:-}" ]; then
  arguments+=(--shard "$EVALKIT_SHARD")
elif [ -f "$folder/baseline.parquet" ]; then
  arguments+=(--baseline "$folder/baseline.parquet")
  [ -n "${EVALKIT_BASELINE_CHECKOUT:-}" ] && arguments+=(--baseline-checkout "$EVALKIT_BASELINE_CHECKOUT")
else
  echo "no baseline yet: this run is measured, not gated" >&2
fi

rm -f "$folder/report.md" "$folder/comment.md" "$folder/junit.xml" "$folder/candidate.parquet"
evalkit "${arguments[@]}"
code=$?

case $code in
  0) verdict=passed ;;
  1) verdict=failed ;;
  2) verdict=wrong-input ;;
  *) verdict=undecided ;;
esac
run=""
if [ -f "$folder/report.md" ]; then
  # The first line tells a later run which comment to update.
  { echo "<!-- evalkit: $suite -->"; cat "$folder/report.md"; } >"$folder/comment.md"
  rm -f "$folder/report.md"
  # The newest of this label: runs that only confirmed are newer still, and of other labels.
  run=$(evalkit runs --format json | LABEL="$label" python3 -c '
import json, os, sys
runs = json.load(sys.stdin)["runs"]
print(next(one["run"] for one in runs if one["label"] == os.environ["LABEL"]))')
  [ -n "$run" ] && evalkit baseline export "$run" "$folder/candidate.parquet" >/dev/null
fi
if [ -n "${GITHUB_OUTPUT:-}" ]; then
  {
    echo "verdict=$verdict"
    echo "exit-code=$code"
    echo "run=$run"
    [ -f "$folder/comment.md" ] && echo "comment-file=$folder/comment.md"
    [ -f "$folder/junit.xml" ] && echo "junit-file=$folder/junit.xml"
  } >>"$GITHUB_OUTPUT"
fi
exit $code
