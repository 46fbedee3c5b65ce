/**
 * A program in the place of umbel that notes how it was called, for tests of the scripts around it.
 *
 * `multi expand` answers with one file per name, as umbel does, or for celery where --nodes-file stands in their place; `multi start` and
 * `restart` give each node a process with a pid file; `stopwait` and `kill` end them. Whatever else it is asked, it does nothing and ends with STAND_IN_STATUS.
 */
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const script = `#!/bin/sh
here=$(dirname "$0")
{ printf '%s' "$(id -un) $PWD"; printf ' [%s]' "$@"; printf '%s\\n' "\${UMBEL_FAKEFORK:+ in front}\${UMBEL_BROKER_URL:+ $UMBEL_BROKER_URL}"; } >> "$here/calls"
[ "$1" = multi ] || exit "\${STAND_IN_STATUS:-0}"
verb=$2; shift 2
if [ "$verb" = expand ]; then template=$1; shift; fi
names= pidfile=
for word in "$@"; do case $word in --pidfile=*) pidfile=\${word#--pidfile=} ;; --nodes-file=*) names=celery ;; -*) ;; *) names="$names $word" ;; esac; done
for node in $names; do
  file=$(printf '%s' "\${template:-$pidfile}" | sed "s/%n/$node/")
  case $verb in
    expand) echo "$file" ;;
    stopwait | kill) [ ! -f "$file" ] || { kill -9 "$(cat "$file")"; rm "$file"; } ;;
    start | restart)
      [ ! -f "$file" ] || { kill -9 "$(cat "$file")"; rm "$file"; }
      # Read up to the end of its output: it is there for signals then.
      pid=$(setsid sh "$here/node" "$file.hup" 2>/dev/null </dev/null & echo $!); echo "$pid" > "$file" ;;
  esac
done
exit "\${STAND_IN_STATUS:-0}"
`;

/** Lives until it is killed, or a moment longer than its folder; leaves a file behind for each HUP. */
const node = `trap 'echo hup >> "$1"' HUP
exec > /dev/null
while [ -e "$0" ]; do sleep 1 & wait $!; kill $! 2>/dev/null; done
`;

export class StandIn {
  readonly path: string;
  readonly #calls: string;

  constructor(folder: string) {
    this.path = join(folder, 'umbel');
    this.#calls = join(folder, 'calls');
    writeFileSync(this.path, script);
    chmodSync(this.path, 0o755);
    writeFileSync(join(folder, 'node'), node);
    writeFileSync(this.#calls, '');
    chmodSync(this.#calls, 0o666);
  }

  /** User, folder and words of each call since the last look. */
  calls(): string[] {
    const lines = existsSync(this.#calls) ? readFileSync(this.#calls, 'utf8').split('\n').slice(0, -1) : [];
    writeFileSync(this.#calls, '');
    return lines;
  }
}
