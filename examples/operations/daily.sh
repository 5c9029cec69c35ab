#!/bin/sh
# One day of a deployment, for cron: observe, forecast, monitor, retrain where it is due.
#   daily.sh DEPLOYMENT DATA OUT [WEATHER [OPTION...]]
# WEATHER is a file of weather runs, to which Open-Meteo's newest is added first; "" for none.
# OPTIONs go to forecast and retrain, such as --source weather.csv.
set -u
deployment=$1 data=$2 out=$3 weather=${4:-}
shift 3
[ $# -eq 0 ] || shift

command -v paretocast >/dev/null || {
  echo "paretocast is not on the PATH: $PATH" >&2
  exit 1
}
if [ -n "$weather" ]; then
  paretocast weather "$deployment" --out "$weather" --append || echo "no new weather" >&2
  [ -f "$weather" ] || weather=""
fi
paretocast observe "$deployment" --data "$data" || exit 1
paretocast forecast "$deployment" --data "$data" ${weather:+--weather "$weather"} --at daily --out "$out" "$@"
forecast=$?  # 0 as it should be, 3 degraded, 1 no forecast
paretocast monitor "$deployment" >"$deployment/health.txt"
health=$?  # 0 fine, 3 watch, 4 alarm

# A model that has learned from weather runs is retrained on them, any other on measured weather.
grep -q '^\[weather\]' "$deployment/bundles/$(cat "$deployment/current")/dataset.toml" || weather=""
paretocast retrain "$deployment" --data "$data" ${weather:+--weather "$weather"} --if-older 30d --if-alarm "$@"
retrained=$?  # 0 another bundle is in use, 5 kept

[ "$retrained" -eq 0 ] || [ "$retrained" -eq 5 ] || echo "retrain failed: $retrained" >&2
[ "$health" -eq 4 ] && echo "alarm: see $deployment/health.html" >&2
exit "$forecast"
