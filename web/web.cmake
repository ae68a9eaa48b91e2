# From the page's sources to a .cc file that the server links (src/server/web_assets.h).
#
# A finished web/dist (from a release archive, say) is embedded as it is. Without one the page is built
# here, in the build directory, so that two builds of one checkout do not disturb each other.

set(HADAL_WEB_DIR "${CMAKE_CURRENT_LIST_DIR}")

set(HADAL_WEB_SOURCES
  index.html package.json package-lock.json svelte.config.js tsconfig.json vite.config.ts
  public/icon.svg
  src/App.svelte src/Composer.svelte src/CopyButton.svelte src/Message.svelte src/Settings.svelte src/Tex.svelte
  src/Welcome.svelte
  src/app.css src/api.ts src/chat.svelte.ts src/clipboard.ts src/follow.ts src/frames.ts src/keys.ts src/main.ts
  src/markdown.ts src/numbers.ts src/settings.svelte.ts src/sse.ts src/tex.svelte.ts)

function(hadal_embed_web output)
  set(embed "${HADAL_WEB_DIR}/embed.cmake")
  if(EXISTS "${HADAL_WEB_DIR}/dist/index.html")
    file(GLOB_RECURSE built CONFIGURE_DEPENDS "${HADAL_WEB_DIR}/dist/*")
    add_custom_command(OUTPUT "${output}"
      COMMAND "${CMAKE_COMMAND}" "-DDIST=${HADAL_WEB_DIR}/dist" "-DOUTPUT=${output}" -P "${embed}"
      DEPENDS ${built} "${embed}" COMMENT "Embedding web/dist" VERBATIM)
    return()
  endif()

  find_program(HADAL_NPM npm)
  if(NOT HADAL_NPM)
    add_custom_command(OUTPUT "${output}"
      COMMAND "${CMAKE_COMMAND}" -E echo "web: expected npm to build the chat page, found none (Debian: apt install npm)"
      COMMAND "${CMAKE_COMMAND}" -E false VERBATIM)
    return()
  endif()

  set(build "${CMAKE_BINARY_DIR}/web")
  list(TRANSFORM HADAL_WEB_SOURCES PREPEND "${HADAL_WEB_DIR}/" OUTPUT_VARIABLE sources)
  set(copy_sources "")
  foreach(source IN LISTS HADAL_WEB_SOURCES)
    list(APPEND copy_sources COMMAND "${CMAKE_COMMAND}" -E copy "${HADAL_WEB_DIR}/${source}" "${build}/${source}")
  endforeach()

  set(tools "${HADAL_WEB_DIR}/package.json" "${HADAL_WEB_DIR}/package-lock.json")
  set(installed "${build}/node_modules/.hadal-installed")
  add_custom_command(OUTPUT "${installed}"
    COMMAND "${CMAKE_COMMAND}" -E copy ${tools} "${build}"
    COMMAND "${HADAL_NPM}" --prefix "${build}" ci --no-audit --no-fund --loglevel=error
    COMMAND "${CMAKE_COMMAND}" -E touch "${installed}"
    DEPENDS ${tools} COMMENT "Fetching the build tools of the chat page" VERBATIM)
  add_custom_command(OUTPUT "${output}"
    ${copy_sources}
    COMMAND "${HADAL_NPM}" --prefix "${build}" run --silent build -- --logLevel warn
    COMMAND "${CMAKE_COMMAND}" "-DDIST=${build}/dist" "-DOUTPUT=${output}" -P "${embed}"
    DEPENDS ${sources} "${installed}" "${embed}" COMMENT "Building the chat page" VERBATIM)
endfunction()
