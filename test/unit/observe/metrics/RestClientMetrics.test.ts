import { Registry } from 'prom-client';
import t from 'tap';
import { RestClientMetrics } from '../../../../src/observe/metrics/RestClientMetrics.js';
import { parseMetrics, seriesValue } from '../parseMetrics.js';

const host = '10.200.0.1:6443';

t.test('requests to the API server under the names of Kubernetes', async (t) => {
  const registry = new Registry();
  const metrics = new RestClientMetrics(registry);
  metrics.answered('GET', host, 200);
  metrics.answered('GET', host, 200);
  metrics.answered('GET', host, 429);
  metrics.answered('POST', host, undefined);
  metrics.completed({ method: 'POST', host, milliseconds: 31, sentBytes: 204, receivedBytes: 448 });
  const page = parseMetrics(await registry.metrics());
  const requests = (code: string, method: string) =>
    seriesValue(page, 'rest_client_requests_total', { code, method, host });
  t.strictSame([requests('200', 'GET'), requests('429', 'GET'), requests('<error>', 'POST')], [2, 1, 1]);
  const labels = { verb: 'POST', host };
  t.equal(seriesValue(page, 'rest_client_request_duration_seconds_sum', labels), 0.031, 'seconds');
  t.equal(seriesValue(page, 'rest_client_request_duration_seconds_count', labels), 1);
  t.equal(seriesValue(page, 'rest_client_request_size_bytes_sum', labels), 204);
  t.equal(seriesValue(page, 'rest_client_response_size_bytes_bucket', { ...labels, le: '256' }), 0);
  t.equal(seriesValue(page, 'rest_client_response_size_bytes_bucket', { ...labels, le: '512' }), 1);
});
