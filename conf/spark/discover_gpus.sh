#!/usr/bin/env bash
# Says which NVIDIA GPUs this machine has, in the form that Spark reads:
# {"name": "gpu", "addresses": ["0", "1"]}
set -euo pipefail

found=$(nvidia-smi --query-gpu=index --format=csv,noheader)
addresses=$(sed -E 's/^ *([0-9]+) *$/"\1"/' <<<"$found" | paste -sd, | sed 's/,/, /g')
echo "{\"name\": \"gpu\", \"addresses\": [$addresses]}"
