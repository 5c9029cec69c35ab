#!/bin/sh
# One day of a deployment, for cron: observe, forecast, monitor, retrain where it is due.
#   30 23 * * *  /srv/paretocast/daily.sh /srv/deploy/heat /srv/data/heat.csv /srv/out/tomorrow.csv
# A fourth argument is a file of weather runs, to which Open-Meteo's newest is added first.
set -u
deployment=$1 data=$2 out=$3 weather=${4:-}

if [ -n "$weather" ]; then
  paretocast weather "$deployment" --out "$weather" --append || echo "no new weather" >&2
  [ -f "$weather" ] || weather=""
fi
paretocast observe "$deployment" --data "$data" || exit 1
paretocast forecast "$deployment" --data "$data" ${weather:+--weather "$weather"} --out "$out"
forecast=$?  # 0 as it should be, 3 degraded, 1 no forecast
paretocast monitor "$deployment" >"$deployment/health.txt"
health=$?  # 0 fine, 3 watch, 4 alarm
paretocast retrain "$deployment" --data "$data" --if-older 30d --if-alarm
retrained=$?  # 0 another bundle is in use, 5 kept

[ "$retrained" -eq 0 ] || [ "$retrained" -eq 5 ] || echo "retrain failed: $retrained" >&2
[ "$health" -eq 4 ] && echo "alarm: see $deployment/health.html" >&2
exit "$forecast"
