// verified-fetch in Chromium, from a page of another origin: browser.mjs GATEWAY CID PROFILE
import { spawn } from 'node:child_process'
import { createServer } from 'node:http'
import { build } from 'esbuild'

const [gateway, cid, profile] = process.argv.slice(2)
const call = `import { check } from './check.mjs'
const answer = await check(${JSON.stringify(gateway)}, ${JSON.stringify(cid)}).then(read => ({ read }), e => ({ failed: String(e?.stack ?? e) }))
await fetch('/answer', { method: 'POST', body: JSON.stringify(answer) })`
const bundle = await build({
  stdin: { contents: call, resolveDir: import.meta.dirname }, bundle: true, write: false, format: 'esm', platform: 'browser', logLevel: 'error'
})

let answered
const answer = new Promise(resolve => { answered = resolve })
const pages = createServer(async (request, response) => {
  if (request.url === '/answer') {
    let text = ''
    for await (const chunk of request) text += chunk
    response.end()
    answered(JSON.parse(text))
  } else if (request.url === '/page.js') {
    response.setHeader('Content-Type', 'text/javascript').end(bundle.outputFiles[0].text)
  } else {
    response.setHeader('Content-Type', 'text/html').end('<!DOCTYPE html><script type="module" src="/page.js"></script>')
  }
})
await new Promise(resolve => pages.listen(0, '127.0.0.1', resolve))

const page = `http://127.0.0.1:${pages.address().port}/`
const browser = spawn('chromium', ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
  `--user-data-dir=${profile}`, '--remote-debugging-port=0', page], { stdio: 'ignore' })
const ended = new Promise(resolve => browser.on('exit', code => resolve({ failed: `chromium ended with ${code}` })))
const late = new Promise(resolve => setTimeout(resolve, 120_000, { failed: 'no answer within two minutes' }))
const { read, failed } = await Promise.race([answer, ended, late])
browser.kill()
pages.close()
if (failed) {
  console.error(`verified-fetch in Chromium: ${failed}`)
  process.exit(1)
}
console.log(`verified-fetch in Chromium: ${read}`)
process.exit(0)
