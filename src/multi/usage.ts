/** The text of `umbel multi help`, and the usage that goes with an error. */

export const multiUsage = `usage: umbel multi start [n1 n2 ... | NUMBER] [worker options]
       umbel multi stop [n1 n2 ... | NUMBER] [-SIG (default: -TERM)]
       umbel multi stopwait [n1 n2 ... | NUMBER] [-SIG]
       umbel multi restart [n1 n2 ... | NUMBER] [-SIG] [--rolling] [worker options]
       umbel multi kill [n1 n2 ... | NUMBER]

       umbel multi show [n1 n2 ... | NUMBER] [worker options]
       umbel multi get NODE [n1 n2 ... | NUMBER] [worker options]
       umbel multi names [n1 n2 ... | NUMBER]
       umbel multi expand TEMPLATE [n1 n2 ... | NUMBER]
       umbel multi help

options of multi itself (after the name of the command):

    * --nosplash:   do not print the version
    * --quiet, -q:  say less
    * --verbose:    print the command lines of the nodes that are started
    * --no-color:   do not use colours
    * --rolling:    restart the nodes one after the other
    * --nodes-file=PATH:  for services that name no nodes; see below
`;

export const multiHelp = `${multiUsage}
Nodes: names (w1 w2 mail@other.host), or a number (3 is celery1 celery2
celery3; --range-prefix=w makes it w1 w2 w3). Without any, those declared in
the configuration file as [node.NAME]. A name without @ gets the name of this
host, or that given with -n, --hostname or --suffix; --prefix stands before
it. stop, stopwait, restart and kill find a node by its pid file, so they need
the same --pidfile.

With --nodes-file, start and restart keep there which nodes they start, and
stop, stopwait and kill are about those. restart stops those of them that are
no longer declared. Without any [node.NAME] the node is then celery.

Options for some nodes only: -c:1 10, -Q:1-3 images, -l:4,5 debug, -c:w2 4,
--concurrency:w2=4.
In options, %n is the short name of the node, %h and %p the whole, %d its
host. %i and %I are left for the worker.
--cmd and --executable start something else than 'umbel worker --detach';
--append puts words after the options, as does --.

    umbel multi start w1 w2 -A /srv/app/tasks.ts -c 3 \\
        --pidfile=/run/umbel/%n.pid --logfile=/var/log/umbel/%n%I.log
    umbel multi start 10 -A tasks.ts -l info -Q:1-3 images,video -Q:4,5 data \\
        -Q default -l:4,5 debug
    umbel multi restart w1 w2 --rolling -A /srv/app/tasks.ts -c 3
    umbel multi stopwait w1 w2
`;
