/**
 * Settings of Celery that this program does not have, and why not: what an error about them says.
 *
 * Owns the reasons only. A name that is here is no setting. The test knows all names of Celery: each is a setting or stands here.
 */

const inUrl = 'write it in result.backend, as redis://[user]:[password]@host:port/db';
const brokerUrlPart = 'write it in broker.url';
const oneUrl = 'there is one URL for reading and writing, broker.url';
const alwaysRetried = 'writing results is always tried again, and reading as result.backend_transport_options.retry_policy says';
const ofPython = 'it is about the Python program';
const utc = 'times in messages are UTC';
const tasksHere = 'task modules are worker.tasks';
const notEager = 'a test calls the task as a function';
const oneRule = 'task.acks_on_failure_or_timeout is for both';
const ownQueues = 'the queues of control and events end with their connection';
const removed = 'it belongs to the backend amqp://, which Celery has removed';

/** Each completes "… is not a setting: ". */
export const reasonsAgainst: Readonly<Record<string, string>> = {
  redis_host: inUrl,
  redis_port: inUrl,
  redis_db: inUrl,
  redis_max_connections: 'there is nothing to bound, results have two connections to Redis',
  redis_retry_on_timeout: alwaysRetried,
  redis_backend_credential_provider: 'it names a class of Python; redis.username and redis.password are there',
  result_accept_content: 'results are JSON, and no other type of them is read',
  result_compression: 'results are not compressed in this version',
  result_cache_max: 'results are not cached',
  result_exchange: removed,
  result_exchange_type: removed,
  result_backend_always_retry: alwaysRetried,
  result_backend_max_retries: alwaysRetried,
  result_backend_max_sleep_between_retries_ms: alwaysRetried,
  result_backend_base_sleep_between_retries_ms: alwaysRetried,
  broker_read_url: oneUrl,
  broker_write_url: oneUrl,
  broker_transport: 'the scheme of broker.url says it',
  broker_host: brokerUrlPart,
  broker_port: brokerUrlPart,
  broker_user: brokerUrlPart,
  broker_password: brokerUrlPart,
  broker_vhost: brokerUrlPart,
  broker_heartbeat_checkrate: 'a connection that is silent for two times broker.heartbeat is lost, and that is looked at once in each',
  worker_enable_prefetch_count_reduction:
    'tasks that outlive a connection are known again when their messages come back, and take no other place',
  broker_channel_error_retry: 'a channel that RabbitMQ ends is always opened again',
  worker_deduplicate_successful_tasks:
    'a message that is delivered again after its task succeeded is run again, unless this worker itself ran it',
  worker_eta_task_limit: 'what waits for its ETA is not held in memory: identity and time are, and RabbitMQ keeps what is due much later',
  broker_pool_limit: 'there is no pool of connections',
  broker_pool_acquire_timeout: 'there is no pool of connections',
  control_queue_durable: ownQueues,
  control_queue_exclusive: ownQueues,
  enable_utc: utc,
  event_queue_durable: ownQueues,
  event_queue_exclusive: ownQueues,
  event_serializer: 'events are JSON',
  imports: tasksHere,
  include: tasksHere,
  task_acks_on_failure: oneRule,
  task_acks_on_timeout: oneRule,
  task_allow_error_cb_on_chord_header: 'error callbacks of a chord are those of its body',
  task_always_eager: notEager,
  task_compression: 'messages are not compressed in this version, those that are can be read',
  task_eager_propagates: notEager,
  task_remote_tracebacks: ofPython,
  task_store_eager_result: notEager,
  timezone: utc,
  worker_agent: ofPython,
  worker_consumer: ofPython,
  worker_hijack_root_logger: ofPython,
  worker_lost_wait: 'the end of a child is known at once',
  worker_pool_putlocks: ofPython,
  worker_task_log_format: 'worker.log_format is text or json',
  worker_timer: ofPython,
  worker_timer_precision: ofPython,
};

const otherBackend = 'that result backend is not built in this version';

/** By section, and by the beginning of a name; each completes "[…] is not a section: " and "… is not a setting: ". */
export const reasonsAgainstSections: Readonly<Record<string, string>> = {
  beat: 'beat is not built in this version',
  security: 'messages are not signed in this version',
  arangodb: otherBackend,
  azureblockblob: otherBackend,
  cache: otherBackend,
  cassandra: otherBackend,
  cosmosdbsql: otherBackend,
  couchbase: otherBackend,
  database: otherBackend,
  elasticsearch: otherBackend,
  mongodb: otherBackend,
  s3: otherBackend,
};
