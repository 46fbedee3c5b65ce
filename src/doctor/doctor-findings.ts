/** What `umbel doctor` finds with servers and the machine: the second part of the table of findings (finding-table.ts). */
import type { FindingEntry } from './finding-entry.ts';

export const doctorFindings = {
  OPEN_FILES_LIMIT: {
    topic: 'machine',
    severity: 'error',
    sentence: 'The worker may not open as many files as it has children to talk to: some of them do not start.',
    fix: 'LimitNOFILE=65536 in the unit, UMBEL_ULIMIT="-n 65536" for the init script, or fewer children.',
  },
  PROCESS_LIMIT: {
    topic: 'machine',
    severity: 'error',
    sentence: 'The cgroup or the user may not have as many threads as the children have: some of them do not start.',
    fix: 'Raise TasksMax= of the unit, pids of the container, or nproc of the user; or fewer children.',
  },
  CGROUP_MEMORY: {
    topic: 'machine',
    severity: 'warning',
    sentence: 'The children may come to more memory than the cgroup has: the kernel then kills one of them in the middle of a task.',
    fix: 'Fewer children, a lower worker.max_memory_per_child, or a larger MemoryMax=.',
  },
  DISK_NEARLY_FULL: {
    topic: 'machine',
    severity: 'warning',
    sentence: 'The disk of the database is nearly full. A full disk refuses new tasks and results.',
    fix: 'Make room, or move the file.',
  },
  SERVER_UNREACHABLE: {
    topic: 'server',
    severity: 'error',
    sentence: 'The broker or result backend does not answer, or its file cannot be opened.',
    fix: 'Look whether the server runs, at host and port of the URL, and at firewalls in between.',
  },
  SERVER_REFUSES_LOGIN: {
    topic: 'server',
    severity: 'error',
    sentence: 'The server does not accept user and password, or the certificate of the client.',
    fix: 'Correct the URL or the certificate; after a change of the password, on all machines.',
  },
  SERVER_REFUSES_RIGHTS: {
    topic: 'server',
    severity: 'error',
    sentence: 'The user of the URL may not do what a worker has to do.',
    fix: 'Redis: ACL SETUSER with the rights in docs/operating.md. RabbitMQ: rabbitmqctl set_permissions.',
  },
  SERVER_HAS_NOT: {
    topic: 'server',
    severity: 'error',
    sentence:
      'The server does not have what is configured (the number of a database, the name behind a sentinel), or a certificate cannot be used.',
    fix: 'Correct the URL or the option that is named.',
  },
  CLOCK_SKEW: {
    topic: 'server',
    severity: 'warning',
    sentence: 'The clocks of this machine and the server disagree: ETAs, expiry of tasks and leases are early or late by that much.',
    fix: 'Run a time service (chrony, systemd-timesyncd) on both.',
  },
  NO_WORKER: {
    topic: 'server',
    severity: 'warning',
    sentence: 'Messages are waiting, and no worker takes them.',
    fix: 'Start a worker for that queue, or look at -Q of those that run.',
  },
  HELD_BY_THE_DEAD: {
    topic: 'server',
    severity: 'warning',
    sentence: 'Messages are still held by workers that have ended without giving them back. The next worker does that.',
    fix: 'Start a worker; it gives them back when their lease or the visibility timeout is over.',
  },
  SQLITE_REMOTE: {
    topic: 'embedded',
    severity: 'error',
    sentence: 'The file is on a file system over the network, on which the locks of SQLite do not hold: it will be damaged.',
    fix: 'Keep it on a local disk; for several machines use Redis or RabbitMQ.',
  },
  SQLITE_IN_MEMORY: {
    topic: 'embedded',
    severity: 'warning',
    sentence: 'The file is in memory: tasks and results are gone after a restart of the machine.',
    fix: 'Keep it below /var/lib.',
  },
  SQLITE_DAMAGED: {
    topic: 'embedded',
    severity: 'error',
    sentence: 'The file is damaged, or no database.',
    fix: 'Stop the workers, keep a copy, and save what can be saved: sqlite3 FILE .recover | sqlite3 NEW.',
  },
  SQLITE_NOT_WAL: {
    topic: 'embedded',
    severity: 'error',
    sentence:
      'The file is not in the mode in which readers and the writer do not block each other; the file system may not be able to have it.',
    fix: 'Move it to a local disk. A worker that opens it there sets the mode.',
  },
  SQLITE_WAL_LARGE: {
    topic: 'embedded',
    severity: 'warning',
    sentence: 'The log beside the file grows, because a program has kept the file open for reading for long.',
    fix: 'Find that program (fuser FILE) and end it.',
  },
  REDIS_TOO_OLD: {
    topic: 'redis',
    severity: 'error',
    sentence: 'Redis before 5, or with lua-replicate-commands off, cannot run the scripts of umbel.',
    fix: 'Install a newer Redis, or Valkey.',
  },
  REDIS_OLD: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'This version of Redis gets no corrections any more, and lacks rights (ACL) or channels.',
    fix: 'Install Redis 7, or Valkey.',
  },
  REDIS_CLUSTER: {
    topic: 'redis',
    severity: 'error',
    sentence: 'Redis Cluster spreads keys over servers; the queues of Celery need theirs together.',
    fix: 'Use a single server, or one with replicas and Sentinel.',
  },
  REDIS_REPLICA: {
    topic: 'redis',
    severity: 'error',
    sentence: 'The URL leads to a replica, which takes no writes.',
    fix: 'Name the master, or use sentinel:// with master_name.',
  },
  REDIS_REPLICAS_WRITABLE: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'A replica that takes writes of its own loses them, and with them tasks.',
    fix: 'CONFIG SET replica-read-only yes, on all servers.',
  },
  REDIS_EVICTION: {
    topic: 'redis',
    severity: 'error',
    sentence: 'Redis drops keys when its memory is full: whole queues, results, what workers hold.',
    fix: 'CONFIG SET maxmemory-policy noeviction, and the same in redis.conf.',
  },
  REDIS_MEMORY: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'The memory of Redis is nearly full. Then it refuses new tasks and results.',
    fix: 'Raise maxmemory, lower result.expires, or find out why tasks pile up.',
  },
  REDIS_NOT_PERSISTENT: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'Redis keeps nothing on disk: a restart of the server loses every task.',
    fix: 'appendonly yes.',
  },
  REDIS_SNAPSHOTS_ONLY: {
    topic: 'redis',
    severity: 'warning',
    sentence:
      'Redis writes to disk from time to time only: a crash loses the tasks of the last minutes, and brings back some that were done.',
    fix: 'appendonly yes.',
  },
  REDIS_FSYNC_OFF: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'The system decides when tasks reach the disk: a loss of power loses those of about half a minute.',
    fix: 'appendfsync everysec.',
  },
  REDIS_SAVE_FAILED: {
    topic: 'redis',
    severity: 'error',
    sentence: 'Redis could not save its data. It soon takes no more writes, or has stopped to.',
    fix: 'Look at its log: usually the disk is full or the folder is not writable.',
  },
  REDIS_IDLE_TIMEOUT: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'Redis ends connections that are idle for that long; workers connect again all the time.',
    fix: 'timeout 0.',
  },
  REDIS_CLIENTS: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'Redis has nearly as many clients as it may: the next ones are refused.',
    fix: 'Raise maxclients, or find the program that leaves connections open.',
  },
  REDIS_OUTPUT_BUFFER: {
    topic: 'redis',
    severity: 'warning',
    sentence: 'Redis ends connections to which it has more to send than that: events and remote control, or large messages, do not arrive.',
    fix: 'client-output-buffer-limit normal 0 0 0, and pubsub 33554432 8388608 60.',
  },
  VISIBILITY_BELOW_LIMIT: {
    topic: 'times',
    severity: 'warning',
    sentence:
      'A Python worker that runs a task for longer than the visibility timeout loses it to somebody else, and it runs twice. umbel renews what it holds.',
    fix: 'Raise visibility_timeout in broker.transport_options, alike for all workers of the database, or lower the time limit.',
  },
  VISIBILITY_BELOW_ETA: {
    topic: 'times',
    severity: 'warning',
    sentence:
      'Python workers pass a task whose ETA is further away than the visibility timeout from one to the next, and it runs several times.',
    fix: 'Raise visibility_timeout above the longest ETA, alike for all workers of the database.',
  },
  LIMIT_BEYOND_CONSUMER_TIMEOUT: {
    topic: 'times',
    severity: 'warning',
    sentence:
      'RabbitMQ ends the channel of a worker that does not acknowledge a message in time: a task that is acknowledged late and runs for so long is delivered again.',
    fix: 'Lower the time limit, acknowledge early, or raise consumer_timeout of the server and say so with --consumer-timeout.',
  },
  PREFETCH_BEYOND_CONSUMER_TIMEOUT: {
    topic: 'times',
    severity: 'warning',
    sentence:
      'A message that waits behind long tasks in the reserve of a worker is not acknowledged in time, and RabbitMQ ends the channel.',
    fix: 'worker.prefetch_multiplier = 1, or worker.disable_prefetch = true.',
  },
  PARK_BEYOND_CONSUMER_TIMEOUT: {
    topic: 'times',
    severity: 'error',
    sentence: 'Tasks with an ETA are held for longer than RabbitMQ lets a message be held.',
    fix: 'Set broker.park_after_seconds below the consumer timeout, or raise consumer_timeout of the server and say so with --consumer-timeout.',
  },
  RABBITMQ_OLD: {
    topic: 'rabbitmq',
    severity: 'warning',
    sentence: 'This version of RabbitMQ gets no corrections any more, and has no quorum queues worth the name.',
    fix: 'Install a newer one.',
  },
  RABBITMQ_BLOCKED: {
    topic: 'rabbitmq',
    severity: 'error',
    sentence: 'RabbitMQ is short of memory or disk and takes no messages from anybody.',
    fix: 'rabbitmqctl status names the alarm; make room, or raise the limit.',
  },
  RABBITMQ_VHOST: {
    topic: 'rabbitmq',
    severity: 'error',
    sentence: 'The virtual host of the URL is not there, or the user has no right to it.',
    fix: 'rabbitmqctl add_vhost, rabbitmqctl set_permissions -p VHOST USER ".*" ".*" ".*". The default one is written %2F.',
  },
  RABBITMQ_DIFFERS: {
    topic: 'rabbitmq',
    severity: 'warning',
    sentence: 'A queue or exchange was declared otherwise by somebody else. umbel uses it as it is; Python Celery would end.',
    fix: 'Change the configuration, or delete the queue when it is empty and let a worker declare it.',
  },
  RABBITMQ_NO_QUEUE: {
    topic: 'rabbitmq',
    severity: 'error',
    sentence: 'A queue that is to be there already (no_declare) is not.',
    fix: 'Declare it on the server, or leave no_declare out.',
  },
  RABBITMQ_RESERVED_NAME: {
    topic: 'rabbitmq',
    severity: 'error',
    sentence: "RabbitMQ keeps names that begin with 'amq.' for itself, and lets nobody declare a queue with one.",
    fix: 'Give the queue another name, or say no_declare = true of one that the server has.',
  },
  RABBITMQ_TRANSIENT_QUEUE: {
    topic: 'rabbitmq',
    severity: 'warning',
    sentence: 'RabbitMQ 4 is about to refuse queues that are neither durable nor exclusive.',
    fix: 'Leave durable = false out.',
  },
  DEAD_LETTERS_NOWHERE: {
    topic: 'rabbitmq',
    severity: 'warning',
    sentence: 'Rejected and expired messages of a queue are lost, because the exchange or queue that they go to is not there.',
    fix: 'Declare the exchange and a queue for it, or the queue itself, or remove x-dead-letter-exchange.',
  },
} as const satisfies Record<string, FindingEntry>;
