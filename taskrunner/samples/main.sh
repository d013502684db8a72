# Throws two dice, again and again, and draws how often each sum came up.
bold=$'\e[1m' green=$'\e[32m' reset=$'\e[0m'

# Whom to greet: the arguments, or else the first line of the input.
name=$*
[[ $name ]] || read -r name
echo "${bold}Hello, ${name:-world}!${reset} Throwing two dice ..."

for round in {1..10}; do
  for throw in {1..5000}; do
    ((sum = RANDOM % 6 + RANDOM % 6 + 2, count[sum] += 1))
  done
  echo "$((round * throw)) throws"
  sleep 0.15
done

for sum in {2..12}; do
  printf -v bar '%*s' "$((count[sum] / 200))" ''
  printf '%2d %s%s%s %d\n' "$sum" "$green" "${bar// /█}" "$reset" "${count[sum]}"
done
