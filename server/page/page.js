'use strict'
const announced = document.getElementById('said')
for (const button of document.querySelectorAll('button.copy')) {
  if (!navigator.clipboard) break // it is there in secure contexts alone
  button.hidden = false
  const label = button.firstChild.data
  button.addEventListener('click', async () => {
    let said = 'Copied'
    try { await navigator.clipboard.writeText(button.dataset.copy) } catch { said = 'Not copied' }
    button.firstChild.data = announced.textContent = said
    setTimeout(() => { button.firstChild.data = label; announced.textContent = '' }, 2000)
  })
}
const list = document.getElementById('pushes')
if (list && window.EventSource) {
  const lost = document.getElementById('pushes-lost')
  let events, again, last = list.dataset.last
  const told = message => {
    last = message.lastEventId
    const push = JSON.parse(message.data)
    const item = document.createElement('li')
    item.className = 'fresh'
    const when = document.createElement('time')
    when.dateTime = push.time
    when.textContent = push.when
    const name = document.createElement('bdi')
    name.textContent = push.name
    let shown = name
    if (push.root) {
      shown = document.createElement('a')
      shown.href = '/?root=' + encodeURIComponent(push.root)
      shown.append(name)
    }
    const label = document.createElement('span')
    label.className = 'quiet'
    label.textContent = push.label
    item.append(when, ' ', shown, ' ', label)
    list.prepend(item)
    while (list.children.length > 20) list.lastElementChild.remove()
    document.getElementById('no-pushes').hidden = true
  }
  const close = () => {
    clearTimeout(again)
    events?.close()
  }
  const open = () => {
    close()
    if (document.hidden) return // a browser has six connections for all its tabs
    events = new EventSource('/?view=events&after=' + encodeURIComponent(last))
    events.addEventListener('push', told)
    events.addEventListener('open', () => { lost.hidden = true })
    events.addEventListener('error', error => { // a browser asks again by itself after a lost connection, and not after an answer that is an error
      lost.hidden = false
      if (error.target.readyState === EventSource.CLOSED) again = setTimeout(open, 5000 + 5000 * Math.random())
    })
  }
  addEventListener('pageshow', open) // also when the browser goes back to it
  addEventListener('pagehide', close)
  document.addEventListener('visibilitychange', () => { if (document.hidden) close(); else open() })
}
