/// <reference types="vitest/config" />
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vite';

export default defineConfig({
  plugins: [svelte()],
  resolve: { alias: [{ find: /^temml$/, replacement: 'temml/temml.js' }] }, // its sources: the bundle has chemistry in it, 40 kB
  build: {
    target: 'es2022',
    assetsInlineLimit: 0, // the page's security policy allows files, not data: scripts
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  test: {
    css: true, // the colours are tested
    // Small files: starting a process for each takes longer than the tests.
    pool: 'threads',
    isolate: false,
    fileParallelism: false,
  },
  server: {
    // `npm run dev` beside a running `hadal serve`.
    proxy: { '/v1': { target: 'http://127.0.0.1:8080', headers: { origin: '' } }, '/health': 'http://127.0.0.1:8080' },
  },
});
