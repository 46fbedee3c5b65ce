"""Writes what real `celery multi` prints for many command lines, as JSON: the recording beside it.

    /usr/bin/python3 test/multi/record-celery-multi.py > test/multi/celery-multi-lines.json

The host is called box.example.com and the interpreter /usr/bin/python3; no folder is made.
"""
import io
import json
import os
import shlex
import sys

sys.executable = '/usr/bin/python3'

import celery.apps.multi as apps
import celery.utils.nodenames as nodenames
from celery.bin.multi import MultiTool

apps.gethostname = nodenames.gethostname = lambda: 'box.example.com'
os.makedirs = lambda *args, **kwargs: None

options = '--pidfile=/p/%n.pid --logfile=/l/%n%I.log'
lines = [
    'names w1 w2', 'names 3', 'names 1', 'names 0', 'names foo bar@host', 'names foo@%h bar@%h', 'names foo@%n.%d',
    'names 2 -n worker.example.com', 'names 2 --hostname=worker.example.com', 'names 2 --range-prefix=w',
    'names 3 --prefix=x', 'names a b --prefix=x', 'names a b --suffix=other', "names a b --suffix=''", 'names a b@c --prefix=x --suffix=y',
    'names a b --hostname=h1 --suffix=h2', 'names a b -n h1 --hostname=h2', 'names w1 w1', 'names a -E b', 'names a --purge b',
    'names a -- b c', 'names -c 3 a b', 'names +2', 'names @host', 'names a@b@c',
    f'show 2 {options}', f'show 3 -c 3 {options}', f'show 3 -c 3 -c:1 10 {options}',
    f'show image video data -c 3 -c:image 10 {options}', f'show 5 -c 3 -c:1-3 10 {options}',
    f'show foo bar baz xuzzy -c 3 -c:foo,bar,baz 10 {options}',
    f'show 10 -l INFO -Q:1-3 images,video -Q:4,5 data -Q default -L:4,5 DEBUG {options}',
    f'show Leslie -E {options}', f'show 2 --concurrency:1=4 --time-limit=300 {options}',
    f'show foo bar -c:1 2 -c:2 4 {options}', f'show foo bar@host -c:bar@host 4 {options}',
    f'show 3 -c:1,3 7 -Q:2 x {options}', f'show 4 -Q:1-2,4 x {options}', f'show 2 -A proj -b redis://h/1 {options}',
    f'show 1 --app=proj --workdir=/srv/%n --config=x {options}', f'show 1 -C -E {options}', f'show 1 {options} -- -c 5 x',
    f'show 1 --append=more%n {options}', f'show 1 {options} --executable=/opt/py', 'show 1 --pidfile=/p/%d-%h-%p-%N.pid --logfile=/l/%i%I.log',
    f'show w1 -f /l/%n.log --pidfile=/p/x.pid', f'show 1 -c4 {options}', f'show 2 -n:1 mine {options}',
    f'show foo@%h bar@%h -S /s/%n.db {options}', f"show 1 --cmd='-m celery -A x worker -D' -l info {options}",
    f'show a b -c:a 1 -c:b 2 -c:a,b 3 {options}', f'show a b -c:a@box.example.com 1 -c:a 2 {options}', f'show 2 -c 1 --autoscale:2=10,3 {options}',
    f'show 2 --purge:1 {options}', f'show w1 w2 -c:w3 4 {options}', f'show 1 -n h -c 2 {options}',
    f'get foo@box.example.com foo bar -c 2 {options}', f'get celery2@box.example.com 3 -c:2 2 {options}', f'get nobody foo bar {options}',
    'expand %n 3', 'expand %n.%h.%d.%p.%N a b@c', 'expand /var/run/%n%I-%i.pid 2', 'expand %%n a', 'expand plain a b', 'expand 100% a',
    'expand %n 2 --range-prefix=w', 'expand %n/%d a b --suffix=z.y',
]


def printed(line):
    out, err = io.StringIO(), io.StringIO()
    tool = MultiTool(stdout=out, stderr=err, no_color=True)
    status = tool.execute_from_commandline(['celery multi', *shlex.split(line)])
    return {'line': line, 'status': int(status or 0), 'stdout': out.getvalue()}


print(json.dumps([printed(line) for line in lines], indent=1))
